package kube

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// What changes the number of pods: the metrics server tells what they use, KEDA asks queues and databases.
const (
	metricsServerVersion = "0.8.0"
	kedaVersion          = "2.20.2"
)

//go:embed scalers
var scalers embed.FS

// metricsServer is the folder of the program metrics-server and of its manifests.
func (p parts) metricsServer() string {
	return filepath.Join(p.cache, "metrics-server-"+metricsServerVersion)
}

// keda is the folder of KEDA's operator, adapter and webhooks, and of its manifests.
func (p parts) keda() string { return filepath.Join(p.cache, "keda-"+kedaVersion) }

// scalerImages are the programs by the image and the name that the manifests start them by.
func (p parts) scalerImages() [][3]string {
	return [][3]string{
		{"registry.k8s.io/metrics-server/metrics-server:1", filepath.Join(p.metricsServer(), "metrics-server"), "/metrics-server"},
		{"ghcr.io/kedacore/keda:1", filepath.Join(p.keda(), "operator"), "/keda"},
		{"ghcr.io/kedacore/keda-metrics-apiserver:1", filepath.Join(p.keda(), "adapter"), "/keda-adapter"},
		{"ghcr.io/kedacore/keda-admission-webhooks:1", filepath.Join(p.keda(), "webhooks"), "/keda-admission-webhooks"},
	}
}

func (c *Cluster) buildMetricsServer(ctx context.Context, to string) error {
	return c.buildModule(ctx, to, "metrics-server", "sigs.k8s.io/metrics-server", metricsServerVersion, "manifests", "metrics-server")
}

func (c *Cluster) buildKEDA(ctx context.Context, to string) error {
	return c.buildModule(ctx, to, "keda", "github.com/kedacore/keda/v2", kedaVersion, "config", "operator", "adapter", "webhooks")
}

// buildModule builds programs of a module, with what it replaces, and takes its folder of manifests.
func (c *Cluster) buildModule(ctx context.Context, to, name, module, version, manifests string, programs ...string) error {
	dir := filepath.Dir(to)
	if err := writeFiles(dir, map[string]string{"go.mod": "module built\n\ngo 1.26\n"}); err != nil {
		return err
	}
	found := install.Go(ctx, "mod", "download", "-json", module+"@v"+version)
	found.Dir = dir
	out, err := found.Output()
	if err != nil {
		return fmt.Errorf("%s v%s cannot be had: %w", module, version, err)
	}
	var had struct{ GoMod, Dir string }
	if err := json.Unmarshal(out, &had); err != nil {
		return err
	}
	released, err := os.ReadFile(had.GoMod)
	if err != nil {
		return err
	}
	text := "module built\n\ngo 1.26\n\nrequire " + module + " v" + version + "\n\n" + replaced(string(released))
	if err := writeFiles(dir, map[string]string{"go.mod": text}); err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(to, "manifests"), os.DirFS(filepath.Join(had.Dir, manifests))); err != nil {
		return err
	}
	args := []string{"-mod=mod", "-ldflags", "-s -w", "-o", to + "/"}
	for _, program := range programs {
		args = append(args, module+"/cmd/"+program)
	}
	return c.goBuild(ctx, dir, name, args...)
}

// replaced is what a go.mod replaces, which holds for nobody who only requires it.
func replaced(gomod string) string {
	return strings.Join(regexp.MustCompile(`(?ms)^replace \(\n.*?^\)\n|^replace [^(\n]+\n`).FindAllString(gomod, -1), "")
}

// installScalers brings the metrics server and KEDA up.
func (c *Cluster) installScalers(ctx context.Context) error {
	return c.Out.Step(ctx, "scalers", "metrics server, KEDA", func(ctx context.Context) error {
		for name, manifests := range map[string]string{
			"metrics-server": filepath.Join(c.parts.metricsServer(), "manifests"),
			"keda":           filepath.Join(c.parts.keda(), "manifests"),
		} {
			dir := filepath.Join(c.state(), "scalers", name)
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
			if err := os.CopyFS(filepath.Join(dir, "manifests"), os.DirFS(manifests)); err != nil {
				return err
			}
			text, err := scalers.ReadFile("scalers/" + name + "/kustomization.yaml")
			if err != nil {
				return err
			}
			if err := writeFiles(dir, map[string]string{"kustomization.yaml": string(text)}); err != nil {
				return err
			}
			if err := c.kubectlLogged(ctx, "apply", "--server-side", "--force-conflicts", "-k", dir); err != nil {
				return err
			}
		}
		for _, d := range [][2]string{
			{"kube-system", "metrics-server"}, {"keda", "keda-operator"}, {"keda", "keda-metrics-apiserver"}, {"keda", "keda-admission"},
		} {
			if err := c.kubectlLogged(ctx, "--namespace", d[0], "rollout", "status", "deployment/"+d[1], "--timeout=5m"); err != nil {
				return err
			}
		}
		return c.kubectlLogged(ctx, "wait", "--for=condition=Available", "--timeout=2m",
			"apiservice/v1beta1.metrics.k8s.io", "apiservice/v1beta1.external.metrics.k8s.io")
	})
}

// kubectlLogged runs kubectl, with what it says in the log scalers.
func (c *Cluster) kubectlLogged(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, c.parts.kubectl(), append([]string{"--kubeconfig", c.kubeconfig()}, args...)...)
	return supervise.Run(ctx, c.LogFile("scalers"), cmd)
}
