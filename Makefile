# Stampede on one machine: make up. All work is done by dev/, a Go program.
# PORT_OFFSET=1000 make up runs a second shop beside the first, in .run-1000.

.DEFAULT_GOAL := help
.PHONY: help up infra down clean status logs restart scale backup restore prune rotate import observe audit check lint fmt cover audit-deps chart security kong images release-notes test swaps rotate-test chaos plans dropsim bench profile lighthouse screenshots compose-env compose-test kube kube-down kube-test generate service dev

DEV := .run/bin/dev

# What every go command below compiles by, those of dev and of the tests too, so that all is compiled once: without paths, and
# without what only a debugger reads, an eighth of the work. Who debugs says GOFLAGS=-gcflags=all=-dwarf=true before make.
export GOFLAGS := -trimpath -gcflags=all=-dwarf=false $(shell go env GOFLAGS 2>/dev/null)

# Go renews what changed and takes no time when nothing did.
dev:
	@command -v go >/dev/null || { echo "error: go is missing; needed: Go 1.26 or newer, from go.dev/dl" >&2; exit 1; }
	@cd / && go version | grep -qE 'go1\.(2[6-9]|[3-9][0-9])' || { echo "error: go is too old ($$(cd / && go version)); needed: Go 1.26 or newer, from go.dev/dl" >&2; exit 1; }
	@CGO_ENABLED=0 go build -o $(DEV) ./dev

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'
	@echo
	@echo "  PORT_OFFSET=1000 before any of them means a second shop, beside the first."
	@echo "  SWAP=kafka,state-postgres before make up plugs in what components/swaps has."

up: dev ## install what is missing and start the shop; again: start only what changed
	@$(DEV) up

infra: dev ## start the infrastructure alone and build the apps, for dapr run -f
	@$(DEV) infra

down: dev ## stop everything; data stays
	@$(DEV) down

clean: dev ## stop everything and remove data, settings and logs
	@$(DEV) clean

status: dev ## a line a process: health, pid, memory, restarts
	@$(DEV) status

logs: dev ## follow the logs, or one app's: make logs APP=orders
	@$(DEV) logs $(APP)

restart: dev ## build one app again and start its instances again, one after another: make restart APP=orders
	@$(DEV) restart $(APP)

scale: dev ## run so many instances of an app, or of an edge: make scale APP=orders N=2
	@$(DEV) scale $(APP) $(N)

backup: dev ## copy the shop to a folder while it sells: make backup TO=/srv/backups/monday
	@$(DEV) backup $(TO)

restore: dev ## make the shop of a backup, or of a moment since: make restore FROM=/srv/backups/monday UNTIL=2026-11-29T12:00:00Z
	@$(DEV) restore $(FROM) $(UNTIL)

prune: dev ## remove what WAL_ARCHIVE has from before the oldest backup that is kept: make prune OLDEST=/srv/backups/monday
	@$(DEV) prune $(OLDEST)

rotate: dev ## put another secret in the place of one while the shop sells: make rotate KEY=ORDERS_DATABASE_URL
	@$(DEV) rotate '$(KEY)' $(if $(FORGET),forget)

import: dev ## import a product file, as Shopify or WooCommerce exports it: make import FILE=products.csv
	@$(DEV) import $(FILE)

observe: dev ## watch the shop that is up: metrics, alerts, until make down
	@$(DEV) observe

audit: dev ## check that stock, money and orders add up, over all databases
	@$(DEV) audit

check: dev ## form, linters, and the tests that need no shop, under the race detector
	@$(DEV) check

lint: dev ## what gofmt, go vet and the linters demand
	@$(DEV) lint

fmt: dev ## format the code
	@$(DEV) fmt

cover: dev ## tell how much of each package its own tests run
	@$(DEV) cover

chart: dev ## render deploy/helm in every way, and hold it to Kubernetes', Dapr's and KEDA's types and to our rules
	@$(DEV) chart

audit-deps: dev ## check that the libraries are what they were, and are needed
	@$(DEV) audit-deps

security: ## look for known weaknesses of what is used, and for secrets in the history
	@cd tools/security && GOWORK=off GOBIN=$(CURDIR)/.run/bin go install tool
	@for module in . tests dapr/daprd; do (cd $$module && GOWORK=off GONOSUMDB='github.com/dapr/*' $(CURDIR)/.run/bin/govulncheck ./...) || exit 1; done
	@.run/bin/gitleaks git --no-banner --redact .

kong: ## hold Kong's own image to the gateway's contract, by Docker
	@.ci/kong

images: ## build and push every image for two architectures: make images IMAGES=ghcr.io/somebody/stampede TAG=1.2.0
	@IMAGES=$(IMAGES) TAG=$(TAG) .ci/images digests.txt

release-notes: ## what the changelog says of a version: make release-notes VERSION=1.2.0
	@awk -v v='[$(VERSION)]' '$$1 == "##" { on = $$2 == v; n += on; next } on { print } END { if (!n) { print "CHANGELOG.md has no version $(VERSION)" > "/dev/stderr"; exit 1 } }' CHANGELOG.md

test: dev ## run all tests, on a second shop of their own that is stopped afterwards
	@$(DEV) test

swaps: dev ## run one suite over every broker and state store, and write docs/swaps.md
	@$(DEV) swaps

rotate-test: dev ## exchange a secret of each kind while people buy, on the shop of the tests, which begins empty
	@$(DEV) rotate-test

chaos: dev ## break parts at random while people buy: make chaos SEED=7 MINUTES=5
	@$(DEV) chaos

plans: dev ## run every statement on a million orders, and tell which read too much: PLANS_ROWS=100000 for less
	@$(DEV) plans

dropsim: dev ## play drops in virtual time, judge what they promise, and write docs/dropsim.md
	@$(DEV) dropsim

bench: dev ## measure, on a shop of its own, and write bench/RESULTS.md; QUICK=1: what shows most, in minutes; SCENARIO=drop: that alone
	@$(DEV) bench

profile: dev ## what an app spends its time on while orders come: make profile APP=orders
	@$(DEV) profile $(APP)

lighthouse: dev ## mark the storefront of the shop that is up, and write docs/lighthouse.md
	@$(DEV) lighthouse

screenshots: dev ## take the pictures of docs/screenshots from the shop that is up
	@$(DEV) screenshots

compose-env: ## write the passwords and certificates that docker compose up needs
	@go run ./deploy/compose

compose-test: ## run the shop of docker-compose.yml on an engine, and break it
	@.ci/compose

kube: dev ## run the shop on a Kubernetes of its own, without an engine or a registry: dev/kube/README.md
	@$(DEV) kube

kube-down: dev ## end that, and remove all of it but what was built once
	@$(DEV) kube-down

kube-test: dev ## run tests on such a one that begins empty, and break it
	@$(DEV) kube-test

generate: ## write all that follows from dapr/dapr.yaml, deploy/routes.yaml, components/ and the code
	@go run ./dev/generate

service: ## make a new service with a database: make service NAME=returns
	@go run ./dev/generate service $(NAME)
