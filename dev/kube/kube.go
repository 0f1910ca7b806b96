// Package kube is the shop on a real Kubernetes of one node. On a machine that has neither an engine nor a registry: etcd,
// Kubernetes, containerd and Dapr's control plane in namespaces of their own, and images that it writes itself. Where Docker
// and kind are, on kind's, with everybody's images.
//
// It imports install, stack and supervise.
package kube

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
	"github.com/stampede-shop/stampede/kit/pause"
)

// portAPI is where the API server is on this machine's loopback, before the offset. Everything else has the port that it has
// in any stack.
const portAPI = 6443

// The ports by which the node itself reaches Services from outside the cluster (outside.yaml).
const (
	nodePortFront    = 30080
	nodePortMail     = 30081
	nodePortPostgres = 30082
	nodePortKeycloak = 30083
)

// nodePorts are the ports of a stack and, of each, the one by which the node has it.
var nodePorts = [][2]int{
	{stack.PortFront, nodePortFront}, {stack.PortMaildev, nodePortMail}, {stack.PortPostgres, nodePortPostgres},
	{stack.PortKeycloak, nodePortKeycloak},
}

const namespace = "shop"

var (
	//go:embed outside.yaml
	outside string
	//go:embed node.yaml
	nodeManifests string
	//go:embed node.sh
	nodeScript string
)

// Cluster is a node with the shop on it. Its stack has the folders and the ports.
type Cluster struct {
	*stack.Stack
	parts parts
	kind  bool // the node is a container of kind's
}

// New is the cluster of a stack: a node of its own where control groups are of version 1, which it wants, else kind's.
func New(s *stack.Stack) *Cluster {
	return &Cluster{Stack: s, parts: parts{s.Cache}, kind: install.Exists("/sys/fs/cgroup/cgroup.controllers")}
}

// state is the node's folder. What it holds is gone with Down.
func (c *Cluster) state() string { return filepath.Join(c.Data, "node") }

func (c *Cluster) kubeconfig() string {
	if c.kind {
		return filepath.Join(c.Run, "kubeconfig")
	}
	return filepath.Join(c.state(), "pki", "kubeconfig")
}

// kubectl is the program.
func (c *Cluster) kubectl() string {
	if c.kind {
		return "kubectl"
	}
	return c.parts.kubectl()
}

// helmProgram is the program.
func (c *Cluster) helmProgram() string {
	if c.kind {
		return "helm"
	}
	return c.parts.helm()
}

// group names the node's control groups, or kind's cluster.
func (c *Cluster) group() string { return "stampede-kube-" + supervise.Digest(c.Run) }

// Up brings the cluster up with the shop on it, or up to date: what is there already is left alone. It returns when every
// pod is ready. Values are further values of the chart, NAME=value.
func (c *Cluster) Up(ctx context.Context, values []string) error {
	unlock, err := c.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := c.Choose(); err != nil {
		return err
	}
	if err := c.PlugIn(); err != nil {
		return err
	}
	node := c.upNode
	if c.kind {
		node = c.upKind
	}
	tag, err := node(ctx)
	if err != nil {
		return err
	}
	if err := c.writeScripts(); err != nil {
		return err
	}
	if err := c.apply(ctx, outside); err != nil {
		return err
	}
	if err := c.installDapr(ctx); err != nil {
		return err
	}
	if err := c.installScalers(ctx); err != nil {
		return err
	}
	if err := c.installShop(ctx, tag, values); err != nil {
		return err
	}
	return c.learn(ctx)
}

// upNode brings a node of this machine's own up, with all images in it. tag is the version of the shop's own.
func (c *Cluster) upNode(ctx context.Context) (tag string, err error) {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return "", errors.New("make kube wants root on Linux: a node has namespaces of its own")
	}
	if err := install.Prerequisites(ctx); err != nil {
		return "", err
	}
	if err := c.install(ctx); err != nil {
		return "", err
	}
	images, tag, err := c.images(ctx)
	if err != nil {
		return "", err
	}
	if err := c.start(ctx); err != nil {
		return "", err
	}
	if err := c.load(ctx, images); err != nil {
		return "", err
	}
	return tag, c.apply(ctx, nodeManifests)
}

// Down ends everything and removes what it has left, on this machine too.
func (c *Cluster) Down(ctx context.Context) error {
	if c.kind {
		if err := c.downKind(ctx); err != nil {
			return err
		}
	}
	if err := c.Supervisor().Down(ctx); err != nil {
		return err
	}
	groups, err := filepath.Glob("/sys/fs/cgroup/*/" + c.group())
	if err != nil {
		return err
	}
	for _, group := range groups {
		if err := removeGroup(ctx, group); err != nil {
			return err
		}
	}
	for _, dir := range []string{c.Data, c.Run} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// removeGroup removes a control group with all below it: folders that are empty once the last process has been reaped.
func removeGroup(ctx context.Context, group string) error {
	below, err := os.ReadDir(group)
	if err != nil {
		return err
	}
	for _, d := range below {
		if d.IsDir() {
			if err := removeGroup(ctx, filepath.Join(group, d.Name())); err != nil {
				return err
			}
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		err := os.Remove(group)
		if err == nil || time.Now().After(deadline) || !pause.For(ctx, 20*time.Millisecond) {
			return err
		}
	}
}

// start starts the node and what leads to it, and waits for the API server.
func (c *Cluster) start(ctx context.Context) error {
	state := c.state()
	if err := os.MkdirAll(filepath.Join(state, "bin"), 0o755); err != nil {
		return err
	}
	for _, volume := range []string{"postgres", "redis", "rabbitmq", "media"} { // of outside.yaml; each is one server's alone
		dir := filepath.Join(state, "volumes", volume)
		if err := errors.Join(os.MkdirAll(dir, 0o777), os.Chmod(dir, 0o777)); err != nil {
			return err
		}
	}
	if err := certificates(filepath.Join(state, "pki"), c.At(portAPI)); err != nil {
		return err
	}
	if err := writeNode(state); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// A copy: the node goes on with the program that it was started with, whatever is built meanwhile.
	program := filepath.Join(state, "bin", "dev")
	text, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	if err := stack.WriteFile(program, string(text), 0o755); err != nil {
		return err
	}
	if err := stack.WriteFile(filepath.Join(state, "bin", "node.sh"), nodeScript, 0o644); err != nil {
		return err
	}
	node := []string{"bash", filepath.Join(state, "bin", "node.sh"), state, c.group(), filepath.Join(c.parts.debian(), "root"),
		c.parts.kubernetes(), filepath.Dir(c.parts.coredns()), "--", program, "kube-node", state, c.Cache}
	forward := []string{program, "kube-forward", state}
	for _, f := range append([][2]int{{portAPI, 6443}}, nodePorts...) {
		forward = append(forward, c.At(f[0])+"="+nodeAddress+":"+strconv.Itoa(f[1]))
	}
	if _, err := c.Supervise(ctx); err != nil {
		return err
	}
	return c.Out.Step(ctx, "node", "Kubernetes "+kubernetesVersion, func(ctx context.Context) error {
		processes := []supervise.Process{
			{
				Name: "node", Args: node, Dir: "/", Env: stack.Environment(), Stage: 1,
				Stamp: supervise.Digest(fmt.Sprint(nodeScript, nodeFiles, nodeProcesses(state, c.parts))),
			},
			{Name: "forward", Args: forward, Dir: "/", Env: stack.Environment(), Health: "tcp:" + c.At(portAPI)},
		}
		for _, p := range processes {
			if _, err := c.Supervisor().Ensure(ctx, p); err != nil {
				return err
			}
		}
		if err := c.Supervisor().Await(ctx, processes[1:], time.Minute, "node"); err != nil {
			return err
		}
		return c.until(ctx, 3*time.Minute, "the node", func() error {
			_, err := c.Kubectl(ctx, nil, "wait", "--for=condition=Ready", "node/stampede", "--timeout=5s")
			return err
		})
	})
}

// until asks until it is so.
func (c *Cluster) until(ctx context.Context, limit time.Duration, what string, ask func() error) error {
	for deadline := time.Now().Add(limit); ; {
		err := ask()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) || !pause.For(ctx, time.Second) {
			line := fmt.Sprintf("%s is not ready: %v; logs are in %s", what, err, filepath.Join(c.state(), "logs"))
			return &supervise.Failure{Line: line, Lines: supervise.Tail(c.LogFile("node"), 10)}
		}
	}
}

// Kubectl runs kubectl and returns what it prints. The error has what it complains of.
func (c *Cluster) Kubectl(ctx context.Context, in io.Reader, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.kubectl(), append([]string{"--kubeconfig", c.kubeconfig()}, args...)...)
	var complaint bytes.Buffer
	cmd.Stdin, cmd.Stderr = in, &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return string(out), nil
}

// KubectlScript is kubectl for this cluster, which Up writes.
func (c *Cluster) KubectlScript() string { return filepath.Join(c.Run, "bin", "kubectl") }

// HelmScript is helm for this cluster, which Up writes.
func (c *Cluster) HelmScript() string { return filepath.Join(c.Run, "bin", "helm") }

// writeScripts writes both.
func (c *Cluster) writeScripts() error {
	for script, program := range map[string]string{c.KubectlScript(): c.kubectl(), c.HelmScript(): c.helmProgram()} {
		text := fmt.Sprintf("#!/bin/sh\nexec %s --kubeconfig %s \"$@\"\n", program, c.kubeconfig())
		if err := stack.WriteFile(script, text, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) apply(ctx context.Context, manifests string) error {
	_, err := c.Kubectl(ctx, strings.NewReader(manifests), "apply", "--server-side", "-f", "-")
	return err
}

// inside is a command that runs in the node.
func (c *Cluster) inside(ctx context.Context, args ...string) (*exec.Cmd, error) {
	pid, err := os.ReadFile(filepath.Join(c.state(), "init.pid"))
	if err != nil {
		return nil, err
	}
	all := []string{"--target", strings.TrimSpace(string(pid)), "--mount", "--net", "--ipc", "--uts", "--pid", "--"}
	return exec.CommandContext(ctx, "nsenter", append(all, args...)...), nil
}

// load brings those images into the node that it has not, as they are.
func (c *Cluster) load(ctx context.Context, images []image) error {
	noted := filepath.Join(c.state(), "images.json") // digests by name
	have := map[string]string{}
	if text, err := os.ReadFile(noted); err == nil {
		if err := json.Unmarshal(text, &have); err != nil {
			return fmt.Errorf("%s: %w", noted, err)
		}
	}
	images = slices.DeleteFunc(images, func(i image) bool { return have[i.name] == i.digest() })
	if len(images) == 0 {
		return nil
	}
	return c.Out.Step(ctx, "images", fmt.Sprintf("%d into the node", len(images)), func(ctx context.Context) error {
		cmd, err := c.inside(ctx, "ctr", "--namespace", "k8s.io", "images", "import", "-")
		if err != nil {
			return err
		}
		in, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		written := make(chan error, 1)
		go func() { written <- errors.Join(writeArchive(in, images), in.Close()) }()
		if err := supervise.Run(ctx, c.LogFile("images"), cmd); err != nil {
			return err
		}
		if err := <-written; err != nil {
			return err
		}
		for _, i := range images {
			have[i.name] = i.digest()
		}
		text, err := json.Marshal(have)
		if err != nil {
			return err
		}
		return stack.WriteFile(noted, string(text), 0o644)
	})
}

// helm installs a chart or brings it up to date, and waits until its pods are ready.
func (c *Cluster) helm(ctx context.Context, name, chart, space string, args ...string) error {
	args = append([]string{
		"upgrade", "--install", name, chart, "--kubeconfig", c.kubeconfig(), "--namespace", space, "--create-namespace",
		"--wait", "--timeout", "10m",
	}, args...)
	cmd := exec.CommandContext(ctx, c.helmProgram(), args...)
	cmd.Dir, cmd.Env = c.Root, stack.Environment()
	err := supervise.Run(ctx, c.LogFile("helm-"+name), cmd)
	if err != nil {
		if pods, e := c.Kubectl(ctx, nil, "--namespace", space, "get", "pods"); e == nil {
			c.Out.Print(pods)
		}
	}
	return err
}

// installDapr installs Dapr's control plane as deploy/helm/README.md says, without its scheduler: a module that it needs is
// not to be had everywhere, and nothing here has jobs or reminders.
func (c *Cluster) installDapr(ctx context.Context) error {
	return c.Out.Step(ctx, "dapr", "Dapr's control plane", func(ctx context.Context) error {
		chart, err := c.daprChart(ctx)
		if err != nil {
			return err
		}
		const selector = "dapr_sidecar_injector.namespaceSelector.matchExpressions[0]."
		return c.helm(ctx, "dapr", chart, "dapr-system",
			"--set-string", "global.tag="+install.DaprVersion, "--set", "global.scheduler.enabled=false",
			"--set", "dapr_sidecar_injector.sidecarDropALLCapabilities=true", "--set", "dapr_sidecar_injector.webhookFailurePolicy=Fail",
			"--set", selector+"key=kubernetes.io/metadata.name", "--set", selector+"operator=NotIn",
			"--set", selector+"values={dapr-system,kube-system}")
	})
}

// installShop installs the chart with the laptop's values.
func (c *Cluster) installShop(ctx context.Context, tag string, values []string) error {
	return c.Out.Step(ctx, "shop", "deploy/helm", func(ctx context.Context) error {
		args := c.shopValues(tag)
		for _, value := range values {
			set := "--set"
			if strings.HasPrefix(value, "settings.") { // texts, also those that look like numbers
				set = "--set-string"
			}
			args = append(args, set, value)
		}
		return c.helm(ctx, "stampede", filepath.Join("deploy", "helm"), namespace, args...)
	})
}

// shopValues are the chart's values of this cluster, as flags of Helm's.
func (c *Cluster) shopValues(tag string) []string {
	values := []string{
		"--set-string", "images.tag=" + tag, "--set", "publicUrl=http://localhost:" + strconv.Itoa(c.Port(stack.PortFront)),
		// Two processors, and whoever tests has a part of them.
		"--set", "each.resources.requests.cpu=20m", "--set", "each.sidecar.requests.cpu=20m", "--set", "keda.enabled=true",
		// Those of make up: here everybody has one address, and tests few tokens.
		"--set", "limits.token=60000", "--set", "limits.address=60000", "--set", "limits.login=6000",
	}
	if c.kind {
		// kind's network keeps them, and they let nobody in from outside.yaml's ports, nor a test's stranger.
		values = append(values, "--set", "networkPolicy.enabled=false")
	}
	return values
}

// learn puts the passwords that the chart has made into the stack's settings, where everything that works with a shop from
// outside looks for them.
func (c *Cluster) learn(ctx context.Context) error {
	out, err := c.Kubectl(ctx, nil, "--namespace", namespace, "get", "secret", "stampede", "-o", "json")
	if err != nil {
		return err
	}
	var secret struct {
		Data map[string][]byte `json:"data"`
	}
	if err := json.Unmarshal([]byte(out), &secret); err != nil {
		return err
	}
	for name, value := range secret.Data {
		text := strings.Replace(string(value), "@postgres."+namespace+".svc:5432/", "@"+c.At(stack.PortPostgres)+"/", 1)
		if c.Settings.Has(name) {
			if err := c.Settings.Put(name, text); err != nil {
				return err
			}
		}
	}
	return nil
}
