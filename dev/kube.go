package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/stampede-shop/stampede/dev/kube"
)

// kubeStack makes this process's stack the one of make kube: beside the
// developer's, unless the environment names another.
func kubeStack() {
	environment([][2]string{{"PORT_OFFSET", "4000"}, {"RUN_DIR", ".run-kube"}, {"SWAP", "default"}}, false)
}

// kubeTestStack is the one of make kube-test, on which a minute is long.
func kubeTestStack() {
	environment(append([][2]string{{"PORT_OFFSET", "5000"}, {"RUN_DIR", ".run-kube-test"}, {"SWAP", "default"}}, testWaits...), false)
}

// kubeUp brings the shop up on a Kubernetes of its own, fills its catalogue, and
// says where it is.
func (s *shop) kubeUp(ctx context.Context, values ...string) error {
	cluster := kube.New(s.Stack)
	if err := cluster.Up(ctx, values); err != nil {
		return err
	}
	if err := s.seed(ctx); err != nil {
		return err
	}
	s.Out.Print(fmt.Sprintf(`
The shop is on Kubernetes after %.0f s.

  shop        %s
  kubectl     %s --namespace shop get pods
  passwords   %s
  down        make kube-down

`, s.Out.Elapsed().Seconds(), s.Settings.Get("PUBLIC_URL"), cluster.KubectlScript(), s.Settings.File))
	return nil
}

// kubeDown ends the cluster and removes all of it but what was built once.
func (s *shop) kubeDown(ctx context.Context) error {
	if err := kube.New(s.Stack).Down(ctx); err != nil {
		return err
	}
	s.Out.Say("down", "removed %s and %s; what was built once is still in %s", s.Run, s.Data, s.Cache)
	return nil
}

// kubeTest brings a cluster up that begins empty, runs what needs only the
// shop's edge, then what breaks parts of the cluster, and takes it down.
func (s *shop) kubeTest(ctx context.Context) (err error) {
	if err := s.kubeDown(ctx); err != nil {
		return err
	}
	fresh, err := openShop() // its folders and settings went, too
	if err != nil {
		return err
	}
	fresh.Out = s.Out
	defer func() {
		if os.Getenv("KEEP") == "" {
			err = errors.Join(err, fresh.kubeDown(context.WithoutCancel(ctx)))
		}
	}()
	values := []string{
		"apps.carts.max=2", "apps.orders.max=2", "keda.lag=5", // TestScale
		"apps.mail.max=2", "keda.queue=20", // TestBacklog
		"apps.orders.resources.requests.cpu=100m", // its rest is 16m, by which two of 40m would stay two
	}
	for _, wait := range testWaits {
		if !strings.HasPrefix(wait[0], "WATCH_") && !strings.HasPrefix(wait[0], "ALERT_") {
			values = append(values, "settings."+wait[0]+"="+wait[1])
		}
	}
	if err := fresh.kubeUp(ctx, values...); err != nil {
		return err
	}
	cluster := kube.New(fresh.Stack)
	env := []string{
		"GOWORK=off", "RUN_DIR=" + fresh.Run, "PORT_OFFSET=" + fresh.Settings.Get("PORT_OFFSET"),
		"KUBECTL=" + cluster.KubectlScript(), "HELM=" + cluster.HelmScript(), "KIND_NODE=" + cluster.KindNode(),
	}
	// What is left of somebody is looked for in logs and stores of this machine.
	const local = "-skip=^TestDeletion$"
	for _, suites := range [][]string{{"./journeys/...", "./access/...", "./input/..."}, {"./kube"}} {
		err := fresh.Out.Step(ctx, "tests", strings.Join(suites, " "), func(ctx context.Context) error {
			args := append([]string{"-timeout=60m", "-vet=off", "-p=1", local}, suites...)
			return fresh.goTest(ctx, filepath.Join(fresh.Root, "tests"), env, args...)
		})
		if err != nil {
			return err
		}
	}
	s.Out.Say("kube-test", "audit")
	return fresh.audit(ctx)
}
