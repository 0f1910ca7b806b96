// Command dev brings the shop up on one machine without containers: it
// installs what is missing, starts the infrastructure and every app beside its
// sidecar, and keeps them running. The Makefile calls it.
//
// Here are the commands alone. What they do it with is in rooms: infra and kube,
// which import stack, which imports install, which imports supervise and progress,
// which import none of them.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/stampede-shop/stampede/dev/infra"
	"github.com/stampede-shop/stampede/dev/kube"
	"github.com/stampede-shop/stampede/dev/progress"
	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

const usage = `usage: dev <command>

  up              start the shop: install what is missing, start everything, seed the catalogue
  infra           start the infrastructure alone, for dapr run -f
  down            stop everything; data stays
  clean           stop everything and remove data, settings and logs
  status          a line a process: health, pid, memory, restarts
  logs [APP]      follow the log of an app and its sidecar, or all logs
  restart APP     build one app again and start it again with its sidecar, one instance after another
  scale APP N     run so many instances of an app, each beside its sidecar
  check           form, linters, and the tests that need no shop, under the race detector
  lint, fmt       the form alone; gofmt
  cover           how much of each package its own tests run
  audit-deps      check the libraries
  chart           render deploy/helm in every way, and hold it to types and rules
  test            run all tests, on a stack beside the developer's
  swaps           run one suite over every broker and state store, on that stack
  rotate-test     exchange a secret of each kind while people buy, on the stack of the tests
  chaos           break parts at random while people buy, on a stack of its own: SEED=7 MINUTES=5
  bench           measure, on a stack of its own, and write bench/RESULTS.md: QUICK=1 for five minutes
  profile APP     what an app spends its time on while orders come, on that stack
  kube            start the shop on a Kubernetes of its own, beside the developer's stack
  kube-down       end that, and remove all of it but what was built once
  kube-test       run tests on such a one, and break it
  lighthouse      mark the storefront's pages, and write docs/lighthouse.md
  screenshots     take the pictures of docs/screenshots
  observe         watch the shop that is up: metrics and alerts, until down or observe off
  audit           check that stock, money and orders add up, over all databases
  backup [FOLDER] copy the shop while it sells: databases as of one instant, carts, pictures, settings
  restore FOLDER [UNTIL] make the shop of a backup where there is none, or of a moment since, and start it
  prune FOLDER    remove what WAL_ARCHIVE has from before a backup, the oldest that is kept
  rotate [KEY]    put another secret in the place of one while the shop sells; without KEY, as the settings say now
  dropsim         play drops in virtual time, judge what they promise, and write docs/dropsim.md
  plans           run every statement on a million orders, and tell which read too much
  stop APP        stop an app with its sidecar, or one process of the infrastructure
  kill APP        the same without giving it time to end well, for tests
  start APP       start what was stopped or killed
  import FILE     import a product file, as Shopify or WooCommerce exports it

PORT_OFFSET=1000 runs another shop beside the first, in .run-1000; RUN_DIR names another folder.
SWAP=kafka,state-postgres before up plugs in what components/swaps has; SWAP=default takes it out again.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		progress.Report(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] == "help" {
		fmt.Print(usage)
		return nil
	}
	if args[0] == "supervise" { // started by up
		return supervise.Serve(args[1], args[2], args[3:]...)
	}
	switch args[0] {
	case "proxies": // started by the supervisor
		return infra.ServeProxies(ctx, args[1], args[2:])
	case "keys": // by the supervisor, too
		return infra.ServeKeys(ctx, args[1], args[2], args[3])
	case "kube-node": // by the supervisor, in the node's namespaces
		return kube.Node(ctx, args[1], args[2])
	case "kube-forward": // by the supervisor
		return kube.Forward(ctx, args[1], args[2:])
	case "test", "swaps", "rotate-test", "plans":
		testStack()
	case "chaos":
		chaosStack()
	case "bench", "profile":
		benchStack()
	case "kube", "kube-down":
		kubeStack()
	case "kube-test":
		kubeTestStack()
	}
	s, err := openShop()
	if err != nil {
		return err
	}
	go s.Out.Tick(ctx)
	name := ""
	if len(args) > 1 {
		name = args[1]
	}
	if name == "" && slices.Contains([]string{"restart", "scale", "stop", "kill", "start"}, args[0]) {
		return fmt.Errorf("which? dev %s orders", args[0])
	}
	switch args[0] {
	case "up":
		return s.up(ctx, false)
	case "infra":
		return s.up(ctx, true)
	case "down":
		return s.down(ctx)
	case "clean":
		return s.clean(ctx)
	case "status":
		return s.status(ctx, os.Stdout)
	case "logs":
		return s.logs(ctx, name)
	case "restart":
		return s.restart(ctx, name)
	case "scale":
		return s.scale(ctx, name, strings.Join(args[2:], " "))
	case "stop", "kill":
		return s.stop(ctx, name, args[0] == "kill")
	case "start":
		return s.start(ctx, name)
	case "test":
		return s.test(ctx)
	case "swaps":
		return s.swaps(ctx)
	case "rotate-test":
		return s.rotateTest(ctx)
	case "chaos":
		return s.chaos(ctx)
	case "bench":
		return s.bench(ctx, args[1:])
	case "profile":
		return s.profile(ctx, name)
	case "kube":
		return s.kubeUp(ctx)
	case "kube-down":
		return s.kubeDown(ctx)
	case "kube-test":
		return s.kubeTest(ctx)
	case "check":
		return s.check(ctx)
	case "lint":
		return s.lint(ctx)
	case "fmt":
		return s.format(ctx)
	case "cover":
		return s.cover(ctx)
	case "chart":
		return s.chart(ctx)
	case "audit-deps":
		return s.auditDeps(ctx)
	case "lighthouse":
		return s.lighthouse(ctx)
	case "screenshots":
		return s.screenshots(ctx)
	case "observe":
		if name == "off" {
			return s.unobserve(ctx)
		}
		return s.observe(ctx)
	case "audit":
		return s.audit(ctx)
	case "plans":
		return s.plans(ctx)
	case "rotate":
		return s.rotate(ctx, name, slices.Contains(args[2:], "forget"))
	case "dropsim":
		return s.dropsim(ctx)
	case "backup":
		return s.locked(func() error { return s.backup(ctx, name) })
	case "restore":
		if name == "" {
			return errors.New("from where? make restore FROM=backups/20261129T120000Z")
		}
		return s.restore(ctx, name, strings.Join(args[2:], ""))
	case "prune":
		if name == "" {
			return errors.New("which backup is the oldest that is kept? make prune OLDEST=backups/20261129T120000Z")
		}
		return s.prune(ctx, name)
	case "import":
		if name == "" {
			return errors.New("which file? make import FILE=products.csv")
		}
		return s.importProducts(ctx, name)
	}
	return fmt.Errorf("there is no command %q; dev help lists them", args[0])
}

// shop is the stack that a command is about.
type shop struct{ infra.Servers }

// openShop finds the shop that the environment means.
func openShop() (*shop, error) {
	s, err := stack.Open(progress.New(os.Stdout))
	if err != nil {
		return nil, err
	}
	st, _, err := s.Supervisor().State()
	if err != nil {
		return nil, err
	}
	s.Watched = slices.ContainsFunc(st.Processes, func(r supervise.Record) bool { return r.Name == "prometheus" })
	return &shop{infra.Servers{Stack: s}}, nil
}
