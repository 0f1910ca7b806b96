package kube

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// The versions that a cluster is made of, beside those of dev/install.
const (
	kubernetesVersion = "1.34.4"
	helmVersion       = "3.22.0"
	coreDNSVersion    = "1.14.7"
	debianSuite       = "trixie" // the first whose containerd this Kubernetes takes
)

var (
	//go:embed programs/kubernetes.go.txt
	kubernetesSource string
	//go:embed programs/coredns.go.txt
	corednsSource string
	//go:embed programs/debian.sh
	debianScript string
)

// kubernetesCommands are the names by which its one program is each of its parts.
var kubernetesCommands = []string{
	"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl",
}

// parts are where everything is that a cluster is made of and that is built once. All of it is in the cache of all
// stacks, by version.
type parts struct {
	cache string
}

// kubernetes is the folder with a link for each of kubernetesCommands.
func (p parts) kubernetes() string {
	return filepath.Join(p.cache, "kubernetes-"+kubernetesVersion+"-"+supervise.Digest(kubernetesSource))
}

func (p parts) kubectl() string { return filepath.Join(p.kubernetes(), "kubectl") }

func (p parts) helm() string { return filepath.Join(p.cache, "helm-"+helmVersion, "helm") }

func (p parts) coredns() string {
	return filepath.Join(p.cache, "coredns-"+coreDNSVersion+"-"+supervise.Digest(corednsSource), "coredns")
}

// controlPlane is the folder of Dapr's operator, injector and placement. Its sentry is built beside daprd.
func (p parts) controlPlane() string {
	return filepath.Join(p.cache, "dapr-control-plane-"+install.DaprVersion)
}

// debian is the folder with the root that the node runs in (root) and that the images of servers stand on (layer.tar).
func (p parts) debian() string {
	return filepath.Join(p.cache, "kube-"+debianSuite+"-"+supervise.Digest(debianScript))
}

// install builds what is not there yet. The first time takes half an hour.
func (c *Cluster) install(ctx context.Context) error {
	if err := c.Installer().Install(ctx); err != nil { // daprd, sentry, Keycloak, the mail catcher
		return err
	}
	// Debian waits for the network, building for the processor.
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		doing := "a Debian root (" + debianSuite + ") with what the node and its servers are"
		return c.once(ctx, "debian", doing, c.parts.debian(), c.buildDebian)
	})
	g.Go(func() error {
		return errors.Join(
			c.once(ctx, "kubernetes", "building Kubernetes "+kubernetesVersion+" (5 minutes)", c.parts.kubernetes(), c.buildKubernetes),
			c.once(ctx, "helm", "building Helm "+helmVersion, filepath.Dir(c.parts.helm()), c.buildHelm),
			c.once(ctx, "coredns", "building CoreDNS "+coreDNSVersion, filepath.Dir(c.parts.coredns()), c.buildCoreDNS),
			c.once(ctx, "dapr", "building Dapr's control plane "+install.DaprVersion, c.parts.controlPlane(), c.buildControlPlane),
			c.once(ctx, "metrics-server", "building metrics-server "+metricsServerVersion, c.parts.metricsServer(), c.buildMetricsServer),
			c.once(ctx, "keda", "building KEDA "+kedaVersion+" (7 minutes)", c.parts.keda(), c.buildKEDA),
		)
	})
	return g.Wait()
}

// once has a folder made, unless it is there. What is half-finished is never taken for whole. Beside it build may leave what
// need not be kept.
func (c *Cluster) once(ctx context.Context, name, doing, at string, build func(ctx context.Context, to string) error) error {
	if install.Exists(at) {
		return nil
	}
	return c.Out.Step(ctx, name, doing, func(ctx context.Context) error {
		partial, err := os.MkdirTemp(c.parts.cache, "partial-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(partial)
		to := filepath.Join(partial, "made")
		if err := os.Mkdir(to, 0o755); err != nil {
			return err
		}
		if err := build(ctx, to); err != nil {
			return err
		}
		return os.Rename(to, at)
	})
}

// buildKubernetes builds one program of all parts. k8s.io/kubernetes names those that it is released with by folders
// beside it, which a module that uses it does not have: they are taken by their own versions.
func (c *Cluster) buildKubernetes(ctx context.Context, to string) error {
	dir := filepath.Dir(to)
	if err := writeFiles(dir, map[string]string{"go.mod": "module kubernetes\n\ngo 1.26\n", "main.go": kubernetesSource}); err != nil {
		return err
	}
	_, gomod, err := released(ctx, dir, "k8s.io/kubernetes@v"+kubernetesVersion)
	if err != nil {
		return err
	}
	if err := writeFiles(dir, map[string]string{"go.mod": kubernetesModule(gomod)}); err != nil {
		return err
	}
	const version = "k8s.io/component-base/version."
	flags := "-s -w -X " + version + "gitVersion=v" + kubernetesVersion + " -X " + version + "gitMajor=1 -X " + version + "gitMinor=34"
	if err := c.goBuild(ctx, dir, "kubernetes", "-mod=mod", "-ldflags", flags, "-o", filepath.Join(to, "kubernetes"), "."); err != nil {
		return err
	}
	for _, name := range kubernetesCommands {
		if err := os.Symlink("kubernetes", filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return nil
}

// released fetches a module in the folder of another, and tells where it is and what its go.mod says.
func released(ctx context.Context, dir, module string) (at, gomod string, err error) {
	found := install.Go(ctx, "mod", "download", "-json", module)
	found.Dir, found.Env = dir, append(found.Env, "GOWORK=off", "GONOSUMDB=github.com/dapr/*")
	out, err := found.Output()
	if err != nil {
		return "", "", fmt.Errorf("%s cannot be had: %w", module, err)
	}
	var had struct{ GoMod, Dir string }
	if err := json.Unmarshal(out, &had); err != nil {
		return "", "", err
	}
	text, err := os.ReadFile(had.GoMod)
	return had.Dir, string(text), err
}

// kubernetesModule is the go.mod of the program, for the go.mod that Kubernetes was released with: there what is in folders
// beside it has the version v0.0.0.
func kubernetesModule(released string) string {
	text := "module kubernetes\n\ngo 1.26\n\nrequire k8s.io/kubernetes v" + kubernetesVersion + "\n\nreplace (\n"
	_, minor, _ := strings.Cut(kubernetesVersion, ".")
	for _, m := range regexp.MustCompile(`(?m)^\s*(k8s\.io/\S+) v0\.0\.0(?:\s|$)`).FindAllStringSubmatch(released, -1) {
		text += "\t" + m[1] + " => " + m[1] + " v0." + minor + "\n"
	}
	return text + ")\n"
}

func (c *Cluster) buildHelm(ctx context.Context, to string) error {
	dir := filepath.Dir(to)
	module := "module helm\n\ngo 1.26\n\nrequire helm.sh/helm/v3 v" + helmVersion + "\n"
	if err := writeFiles(dir, map[string]string{"go.mod": module}); err != nil {
		return err
	}
	return c.goBuild(ctx, dir, "helm", "-mod=mod", "-ldflags", "-s -w", "-o", filepath.Join(to, "helm"), "helm.sh/helm/v3/cmd/helm")
}

func (c *Cluster) buildCoreDNS(ctx context.Context, to string) error {
	dir := filepath.Dir(to)
	module := "module coredns\n\ngo 1.26\n\nrequire github.com/coredns/coredns v" + coreDNSVersion + "\n"
	if err := writeFiles(dir, map[string]string{"go.mod": module, "main.go": corednsSource}); err != nil {
		return err
	}
	return c.goBuild(ctx, dir, "coredns", "-mod=mod", "-ldflags", "-s -w", "-o", filepath.Join(to, "coredns"), ".")
}

// buildControlPlane builds what Dapr's chart runs, from the module of our daprd, so that both are of one version. What it
// needs beyond daprd is noted in a copy of that module's files.
func (c *Cluster) buildControlPlane(ctx context.Context, to string) error {
	dir := filepath.Join(c.Root, "dapr", "daprd")
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if err := writeFiles(filepath.Dir(to), map[string]string{name: string(text)}); err != nil {
			return err
		}
	}
	args := []string{
		"-modfile", filepath.Join(filepath.Dir(to), "go.mod"), "-mod=mod", "-tags", "stablecomponents",
		"-ldflags", "-s -w -X github.com/dapr/dapr/pkg/buildinfo.version=" + install.DaprVersion, "-o", to + "/",
	}
	for _, name := range []string{"operator", "injector", "placement"} {
		args = append(args, "github.com/dapr/dapr/cmd/"+name)
	}
	return c.goBuild(ctx, dir, "dapr", args...)
}

// goBuild builds a program in a module's folder. Its output is in the log install-<name>.
func (c *Cluster) goBuild(ctx context.Context, dir, name string, args ...string) error {
	cmd := install.Go(ctx, append([]string{"build", "-buildvcs=false"}, args...)...)
	cmd.Dir, cmd.Env = dir, append(cmd.Env, "GOWORK=off", "GONOSUMDB=github.com/dapr/*")
	return supervise.Run(ctx, c.LogFile("install-"+name), cmd)
}

// daprChart is the folder of Dapr's chart, which is part of its module.
func (c *Cluster) daprChart(ctx context.Context) (string, error) {
	at, _, err := released(ctx, filepath.Join(c.Root, "dapr", "daprd"), "github.com/dapr/dapr@v"+install.DaprVersion)
	return filepath.Join(at, "charts", "dapr"), err
}

// buildDebian makes the root, and from it the layer that the images of servers stand on.
func (c *Cluster) buildDebian(ctx context.Context, to string) error {
	root := filepath.Join(to, "root")
	debootstrap := exec.CommandContext(ctx, filepath.Join(c.Root, ".ci", "debian"), root, debianSuite)
	if err := supervise.Run(ctx, c.LogFile("install-debian"), debootstrap); err != nil {
		return err
	}
	if err := writeFiles(to, map[string]string{"packages.sh": debianScript}); err != nil {
		return err
	}
	// Only this command sees what is mounted.
	packages := exec.CommandContext(ctx, "unshare", "--mount", "--", "sh", "-c",
		`cp -L /etc/resolv.conf "$0/etc/resolv.conf" && cp "$1" "$0/packages.sh" &&
			mount --bind /dev "$0/dev" && mount -t proc proc "$0/proc" && chroot "$0" sh /packages.sh && rm "$0/packages.sh"`,
		root, filepath.Join(to, "packages.sh"))
	if err := supervise.Run(ctx, c.LogFile("install-packages"), packages); err != nil {
		return err
	}
	layer := exec.CommandContext(ctx, "tar", "-C", root, "-cf", filepath.Join(to, "layer.tar"), "--exclude=./dev", "--exclude=./proc",
		"--exclude=./sys", "--exclude=./run", "--exclude=./tmp", "--exclude=./usr/share/doc", "--exclude=./usr/share/man", ".")
	if err := supervise.Run(ctx, c.LogFile("install-layer"), layer); err != nil {
		return err
	}
	digest, err := fileDigest(filepath.Join(to, "layer.tar"))
	if err != nil {
		return err
	}
	return writeFiles(to, map[string]string{"layer.digest": digest})
}

// debianLayer is the layer that buildDebian has made.
func (c *Cluster) debianLayer() (layer, error) {
	digest, err := os.ReadFile(filepath.Join(c.parts.debian(), "layer.digest"))
	return layer{file: filepath.Join(c.parts.debian(), "layer.tar"), digest: string(digest)}, err
}

// fileDigest is the SHA-256 of a file in hexadecimal digits.
func fileDigest(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// writeFiles writes texts into files of a folder.
func writeFiles(dir string, files map[string]string) error {
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
