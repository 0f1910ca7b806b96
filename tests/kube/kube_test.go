// Package kube breaks the cluster that the shop runs on while people buy: make kube-test. Its tests run one after another,
// alone, since what they break is everybody's.
package kube

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

// kubectl runs kubectl in the shop's namespace and returns what it prints. It may be called beside the test.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := try(t, "", args...)
	if err != nil {
		t.Errorf("kubectl %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// command is kubectl in the shop's namespace.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	if os.Getenv("KUBECTL") == "" {
		t.Fatal("KUBECTL is not set: no cluster to test (make kube-test starts one)")
	}
	return exec.CommandContext(t.Context(), os.Getenv("KUBECTL"), append([]string{"--namespace", "shop"}, args...)...)
}

func try(t *testing.T, in string, args ...string) (string, error) {
	t.Helper()
	cmd := command(t, args...)
	cmd.Stdin = strings.NewReader(in)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// deployments are those of a kind: service, edge, gateway, front.
func deployments(t *testing.T, kind string) []string {
	t.Helper()
	list := strings.Fields(kubectl(t, "get", "deployments", "-l", "app.kubernetes.io/component="+kind, "-o", "name"))
	require.NotEmpty(t, list, kind)
	return list
}

func rolledOut(t *testing.T, name string) {
	t.Helper()
	kubectl(t, "rollout", "status", name, "--timeout=5m")
}

// TestPods deletes the pod of every service, one after the other, while people buy: each order reaches its end, once.
func TestPods(t *testing.T) {
	s := shop.Open(t)
	services := deployments(t, "service")
	shop.Storm{Orders: 60, Before: 10, During: 40}.Blow(t, s, func(happened func()) {
		defer happened()
		for _, name := range services {
			app := strings.TrimPrefix(name, "deployment.apps/")
			kubectl(t, "delete", "pod", "-l", "app.kubernetes.io/name="+app, "--wait=false")
			rolledOut(t, name)
		}
	})
}

// TestRollout renews every pod of the shop's own and takes the former ones back, while people buy: not one request may fail.
func TestRollout(t *testing.T) {
	s := shop.Open(t)
	var all []string
	for _, kind := range []string{"service", "edge", "gateway", "front"} {
		for _, name := range deployments(t, kind) {
			if name != "deployment.apps/edge-admin" { // one pod with its sessions: staff log in again
				all = append(all, name)
			}
		}
	}
	p := s.NewProduct(t, 1_500, 100_000)
	crowd := []*shop.Client{s.Register(t), s.Register(t), s.Register(t)}
	orders := shop.WhileTheyBuy(t, crowd, p, nil, func() {
		for _, how := range []string{"restart", "undo"} {
			begun := time.Now()
			for _, name := range all {
				kubectl(t, "rollout", how, name)
				rolledOut(t, name)
			}
			t.Logf("%s of %d deployments took %s", how, len(all), time.Since(begun).Round(time.Second))
		}
	})
	p.AwaitStock(t, 100_000-orders, orders)
	s.Audit(t)
}

// TestUpgrade brings the release up to date with changed settings and takes it back, while people buy: the databases are
// migrated before any pod is renewed, and not one request may fail. An image that cannot be had renews nothing.
func TestUpgrade(t *testing.T) {
	s := shop.Open(t)
	p := s.NewProduct(t, 1_500, 100_000)
	crowd := []*shop.Client{s.Register(t), s.Register(t)}
	run := func(args ...string) (string, error) {
		t.Helper()
		begun := time.Now()
		out, err := exec.CommandContext(t.Context(), os.Getenv("HELM"), append(args, "--namespace", "shop")...).CombinedOutput()
		t.Logf("helm %s took %s", args[0], time.Since(begun).Round(time.Second))
		return string(out), err
	}
	helm := func(args ...string) {
		t.Helper()
		if out, err := run(append(args, "--wait", "--timeout", "10m")...); err != nil {
			t.Errorf("helm %s: %v: %s", args[0], err, out)
		}
	}
	told := func(name string) string {
		return kubectl(t, "get", "deployment", "inventory", "-o",
			`jsonpath={.spec.template.spec.containers[?(@.name=="app")].env[?(@.name=="`+name+`")].value}`)
	}
	before := told("LOW_STOCK")
	require.NotEqual(t, "7", before)
	orders := shop.WhileTheyBuy(t, crowd, p, nil, func() {
		helm("upgrade", "stampede", "../../deploy/helm", "--reuse-values", "--set-string", "settings.LOW_STOCK=7",
			"--set-string", "apps.orders.settings.LOG_LEVEL=warn")
		if is := told("LOW_STOCK"); is != "7" {
			t.Errorf("inventory is told %q", is)
		}
		migrated := kubectl(t, "get", "events", "--field-selector=involvedObject.kind=Job,involvedObject.name=migrate,reason=Completed",
			"-o", "name")
		if migrated == "" {
			t.Error("no Job has migrated the databases")
		}
		helm("rollback", "stampede")
		if is := told("LOW_STOCK"); is != before {
			t.Errorf("inventory is told %q", is)
		}
		for _, name := range []string{"deployment/inventory", "deployment/orders"} {
			rolledOut(t, name)
		}
		out, err := run("upgrade", "stampede", "../../deploy/helm", "--reuse-values", "--set-string", "settings.LOW_STOCK=8",
			"--set-string", "images.tag=nowhere", "--atomic", "--timeout", "1m")
		if err == nil {
			t.Errorf("helm takes an image that is nowhere: %s", out)
		}
		if is := told("LOW_STOCK"); is != before {
			t.Errorf("inventory is told %q by a release whose images are nowhere", is)
		}
		if out, err := run("status", "stampede"); err != nil || !strings.Contains(out, "STATUS: deployed") {
			t.Errorf("helm status: %v: %s", err, out)
		}
	})
	p.AwaitStock(t, 100_000-orders, orders)
	s.Audit(t)
}

// TestScale: a second pod comes when the first has too much to do, and another service's when what it has to tell waits,
// because the broker is away.
func TestScale(t *testing.T) {
	s := shop.Open(t)
	const asked, ready = ".spec.replicas", ".status.readyReplicas"
	await := func(field, pods, name, why string) {
		t.Helper()
		begun := time.Now()
		kubectl(t, "wait", "deployment/"+name, "--for=jsonpath={"+field+"}="+pods, "--timeout=10m")
		if t.Failed() {
			t.FailNow()
		}
		t.Logf("%s has %s pods after %s of %s", name, pods, time.Since(begun).Round(time.Second), why)
	}
	await(ready, "1", "carts", "quiet") // the tests before may have been too much for one
	await(ready, "1", "orders", "quiet")
	busy, stop := context.WithCancel(t.Context())
	var looking sync.WaitGroup
	for range 4 {
		ann := s.Register(t)
		looking.Go(func() {
			for busy.Err() == nil {
				_, _ = ann.Send(busy, http.MethodGet, "/api/v1/cart", nil)
			}
		})
	}
	await(ready, "2", "carts", "load")
	stop()
	looking.Wait()

	p := s.NewProduct(t, 1_500, 5)
	bob := s.Register(t)
	kubectl(t, "scale", "statefulset/rabbitmq", "--replicas=0")
	id, _, err := bob.Insist(t.Context(), p, shop.Visa)
	require.NoError(t, err)
	await(asked, "2", "orders", "waiting events") // which a sidecar cannot start without the broker
	kubectl(t, "scale", "statefulset/rabbitmq", "--replicas=1")
	rolledOut(t, "statefulset/rabbitmq")
	await(ready, "2", "orders", "the broker's return")
	shop.Eventually(t, 2*shop.Patience, func() (bool, string) {
		order := shop.Get[shop.Order](t, bob, "/api/v1/orders/"+id)
		return order.Status == "confirmed", order.Status
	})
	s.Audit(t)
}

// TestBacklog: a second pod comes when more events wait for the first than it should have before it. It lives and takes none,
// since its inbox is locked. Afterwards there is one mail for each order.
func TestBacklog(t *testing.T) {
	s := shop.Open(t)
	kubectl(t, "wait", "deployment/mail", "--for=jsonpath={.status.readyReplicas}=1", "--timeout=10m")
	shop.Storm{Orders: 60, During: 60}.Blow(t, s, func(happened func()) {
		defer happened()
		unlock, err := lock(t, "mail", "inbox")
		if err != nil {
			t.Error(err)
			return
		}
		defer unlock()
		begun := time.Now()
		kubectl(t, "wait", "deployment/mail", "--for=jsonpath={.spec.replicas}=2", "--timeout=5m")
		t.Logf("mail is to have a second pod after %s", time.Since(begun).Round(time.Second))
		why := kubectl(t, "get", "events", "--field-selector=involvedObject.name=keda-hpa-mail,reason=SuccessfulRescale",
			"-o", "jsonpath={.items[*].message}")
		if !strings.Contains(why, "rabbitmq") {
			t.Errorf("it is not what waits that asks for it: %s", why)
		}
	})
	rolledOut(t, "deployment/mail")
}

// lock keeps everybody from a table until unlock.
func lock(t *testing.T, database, table string) (unlock func(), err error) {
	cmd := command(t, "exec", "-i", "statefulset/postgres", "--", "sh", "-c",
		`PGPASSWORD="$POSTGRES_PASSWORD" exec psql -XqAt -v ON_ERROR_STOP=1 -h 127.0.0.1 -U postgres `+database)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	unlock = func() {
		in.Close() // the session ends, and the lock with it
		if err := cmd.Wait(); err != nil {
			t.Errorf("the session that had %s locked: %v", table, err)
		}
	}
	if _, err := fmt.Fprintf(in, "BEGIN; LOCK TABLE %s; SELECT 'locked';\n", table); err != nil {
		unlock()
		return nil, err
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "locked\n" {
		unlock()
		return nil, fmt.Errorf("%s is not locked: %q, %v", table, line, err)
	}
	return unlock, nil
}

// TestNode kills the machine that everything is on. It comes back by itself, with what was there.
func TestNode(t *testing.T) {
	s := shop.Open(t)
	ann, p := s.Register(t), s.NewProduct(t, 1_000, 20)
	order := ann.Bought(t, p, 1)
	begun := time.Now()
	if node := os.Getenv("KIND_NODE"); node == "" {
		s.Kill(t, "node")
	} else if out, err := exec.CommandContext(t.Context(), "docker", "restart", "-t", "0", node).CombinedOutput(); err != nil {
		t.Fatalf("%s: %s", err, out)
	}
	again, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	look := func() (bool, string) {
		a, err := ann.Send(again, http.MethodGet, "/api/v1/orders/"+order.ID, nil)
		if err != nil {
			return false, err.Error()
		}
		return a.Status == http.StatusOK, fmt.Sprint(a.Status, " ", string(a.Body))
	}
	if os.Getenv("KIND_NODE") == "" { // its last processes go on for some tenths of a second
		shop.Eventually(t, shop.Patience, func() (bool, string) { there, said := look(); return !there, said })
	}
	shop.Eventually(t, 10*time.Minute, look)
	t.Logf("back %s after", time.Since(begun).Round(time.Second))
	_, _, err := ann.Insist(again, p, shop.Visa)
	require.NoError(t, err)
	s.Audit(t)
}

// stranger is a pod with a sidecar and a certificate of the cluster's, that nobody has given any right.
const stranger = `apiVersion: v1
kind: Pod
metadata:
  name: stranger
  annotations:
    dapr.io/enabled: "true"
    dapr.io/app-id: stranger
    dapr.io/sidecar-image: %s
    dapr.io/disable-builtin-k8s-secret-store: "true"
spec:
  automountServiceAccountToken: false
  containers:
    - name: app
      image: %s
      command: [sleep, infinity]
      securityContext: {runAsNonRoot: true, runAsUser: 1000, runAsGroup: 1000, allowPrivilegeEscalation: false}
`

// TestStranger: a sidecar that is in no access list calls what a neighbour may call, and is refused.
func TestStranger(t *testing.T) {
	image := func(name, container string) string {
		return kubectl(t, "get", "deployment", name, "-o", `jsonpath={.spec.template.`+container+`}`)
	}
	sidecar := image("orders", `metadata.annotations.dapr\.io/sidecar-image`)
	out, err := try(t, fmt.Sprintf(stranger, sidecar, image("maildev", "spec.containers[0].image")), "apply", "-f", "-")
	require.NoError(t, err, out)
	defer kubectl(t, "delete", "pod", "stranger", "--wait=false")
	kubectl(t, "wait", "--for=condition=Ready", "pod/stranger", "--timeout=2m")
	out, err = try(t, "", "exec", "stranger", "-c", "app", "--",
		"wget", "-S", "-O", "-", "http://localhost:3500/v1.0/invoke/orders/method/internal/orders/ended")
	require.Error(t, err, out)
	require.Contains(t, out, "403")
}
