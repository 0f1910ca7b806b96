package kube

import (
	"context"
	"embed"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// What changes the number of pods: the metrics server tells what they use, KEDA asks queues and databases.
const (
	metricsServerVersion = "0.8.0"
	kedaVersion          = "2.20.2"
	metricsServerModule  = "sigs.k8s.io/metrics-server"
	kedaModule           = "github.com/kedacore/keda/v2"
)

//go:embed scalers
var scalers embed.FS

// metricsServer is the folder of the program metrics-server.
func (p parts) metricsServer() string {
	return filepath.Join(p.cache, "metrics-server-"+metricsServerVersion)
}

// keda is the folder of KEDA's operator, adapter and webhooks.
func (p parts) keda() string { return filepath.Join(p.cache, "keda-"+kedaVersion) }

// scalerImages are the programs by the image and the name that the manifests start them by.
func (p parts) scalerImages() [][3]string {
	return [][3]string{
		{
			"registry.k8s.io/metrics-server/metrics-server:v" + metricsServerVersion,
			filepath.Join(p.metricsServer(), "metrics-server"), "/metrics-server",
		},
		{"ghcr.io/kedacore/keda:" + kedaVersion, filepath.Join(p.keda(), "operator"), "/keda"},
		{"ghcr.io/kedacore/keda-metrics-apiserver:" + kedaVersion, filepath.Join(p.keda(), "adapter"), "/keda-adapter"},
		{"ghcr.io/kedacore/keda-admission-webhooks:" + kedaVersion, filepath.Join(p.keda(), "webhooks"), "/keda-admission-webhooks"},
	}
}

func (c *Cluster) buildMetricsServer(ctx context.Context, to string) error {
	return c.buildModule(ctx, to, "metrics-server", metricsServerModule, metricsServerVersion, "metrics-server")
}

func (c *Cluster) buildKEDA(ctx context.Context, to string) error {
	return c.buildModule(ctx, to, "keda", kedaModule, kedaVersion, "operator", "adapter", "webhooks")
}

// buildModule builds programs of a module, with what it replaces.
func (c *Cluster) buildModule(ctx context.Context, to, name, module, version string, programs ...string) error {
	dir := filepath.Dir(to)
	if err := writeFiles(dir, map[string]string{"go.mod": "module built\n\ngo 1.26\n"}); err != nil {
		return err
	}
	_, gomod, err := released(ctx, dir, module+"@v"+version)
	if err != nil {
		return err
	}
	text := "module built\n\ngo 1.26\n\nrequire " + module + " v" + version + "\n\n" + replaced(gomod)
	if err := writeFiles(dir, map[string]string{"go.mod": text}); err != nil {
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
		for _, m := range []struct{ name, module, version, manifests string }{
			{"metrics-server", metricsServerModule, metricsServerVersion, "manifests"},
			{"keda", kedaModule, kedaVersion, "config"},
		} {
			dir := filepath.Join(c.Run, "scalers", m.name)
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
			text, err := scalers.ReadFile("scalers/" + m.name + "/kustomization.yaml")
			if err != nil {
				return err
			}
			at, _, err := released(ctx, c.Run, m.module+"@v"+m.version)
			if err != nil {
				return err
			}
			if err := os.CopyFS(filepath.Join(dir, "manifests"), os.DirFS(filepath.Join(at, m.manifests))); err != nil {
				return err
			}
			kustomization := strings.ReplaceAll(string(text), "VERSION", m.version)
			if err := writeFiles(dir, map[string]string{"kustomization.yaml": kustomization}); err != nil {
				return err
			}
			if _, err := c.Kubectl(ctx, nil, "apply", "--server-side", "--force-conflicts", "-k", dir); err != nil {
				return err
			}
		}
		for _, d := range [][2]string{
			{"kube-system", "metrics-server"}, {"keda", "keda-operator"}, {"keda", "keda-metrics-apiserver"}, {"keda", "keda-admission"},
		} {
			if _, err := c.Kubectl(ctx, nil, "--namespace", d[0], "rollout", "status", "deployment/"+d[1], "--timeout=5m"); err != nil {
				return err
			}
		}
		_, err := c.Kubectl(ctx, nil, "wait", "--for=condition=Available", "--timeout=2m",
			"apiservice/v1beta1.metrics.k8s.io", "apiservice/v1beta1.external.metrics.k8s.io")
		return err
	})
}
