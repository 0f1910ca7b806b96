package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// kindConfig is kind's cluster of one node, whose API server and ports are on this machine's loopback where those of a node
// of our own would be.
func (c *Cluster) kindConfig() string {
	var b strings.Builder
	b.WriteString("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n")
	fmt.Fprintf(&b, "networking:\n  apiServerAddress: 127.0.0.1\n  apiServerPort: %d\n", c.Port(portAPI))
	b.WriteString("nodes:\n  - role: control-plane\n    extraPortMappings:\n")
	for _, p := range nodePorts {
		fmt.Fprintf(&b, "      - {containerPort: %d, hostPort: %d, listenAddress: 127.0.0.1}\n", p[1], c.Port(p[0]))
	}
	return b.String()
}

// KindNode is the container that is the node, or "" where it is none.
func (c *Cluster) KindNode() string {
	if !c.kind {
		return ""
	}
	return c.group() + "-control-plane"
}

// upKind brings kind's cluster up, with the shop's own images in it; it fetches all others. tag is the version of the shop's.
func (c *Cluster) upKind(ctx context.Context) (tag string, err error) {
	for _, name := range []string{"docker", "kind", "kubectl", "helm"} {
		if _, e := exec.LookPath(name); e != nil {
			err = errors.Join(err, e)
		}
	}
	if err != nil {
		return "", fmt.Errorf("with control groups of version 2, as here, make kube needs kind:\n%w", err)
	}
	if err := c.build(ctx); err != nil { // tests ask apps what they document
		return "", err
	}
	images, tag, err := c.dockerImages(ctx)
	if err != nil {
		return "", err
	}
	err = c.Out.Step(ctx, "node", "a cluster of kind's", func(ctx context.Context) error {
		there, err := exec.CommandContext(ctx, "kind", "get", "clusters").Output()
		if err != nil {
			return fmt.Errorf("kind get clusters: %w", err)
		}
		if !slices.Contains(strings.Fields(string(there)), c.group()) {
			if err := c.run(ctx, "node", strings.NewReader(c.kindConfig()), "kind", "create", "cluster", "--name", c.group(),
				"--kubeconfig", c.kubeconfig(), "--config", "-", "--wait", "5m"); err != nil {
				return err
			}
		}
		return c.run(ctx, "node", nil, "kind", append([]string{"load", "docker-image", "--name", c.group()}, images...)...)
	})
	return tag, err
}

// downKind removes the cluster.
func (c *Cluster) downKind(ctx context.Context) error {
	if !install.Exists(c.kubeconfig()) {
		return nil
	}
	return c.run(ctx, "node", nil, "kind", "delete", "cluster", "--name", c.group())
}

// dockerImages builds the shop's own images, and names them by what is in them: pods are renewed when that changes.
func (c *Cluster) dockerImages(ctx context.Context) (images []string, tag string, err error) {
	list, err := c.chartList()
	if err != nil {
		return nil, "", err
	}
	err = c.Out.Step(ctx, "images", "deploy/Dockerfile, by Docker", func(ctx context.Context) error {
		if err := os.MkdirAll(filepath.Join(c.Run, "images"), 0o755); err != nil {
			return err
		}
		ids := map[string]string{} // by name
		for _, name := range append(slices.Sorted(maps.Keys(list.Apps)), "dapr", "front", "keycloak") {
			target := []string{"--target", name}
			if _, app := list.Apps[name]; app {
				target = []string{"--target", "service", "--build-arg", "SERVICE=" + name}
			}
			file := filepath.Join(c.Run, "images", name+".id")
			args := append([]string{"build", "--file", "deploy/Dockerfile", "--iidfile", file}, target...)
			if err := c.run(ctx, "images", nil, "docker", append(args, ".")...); err != nil {
				return err
			}
			id, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			ids[name] = string(id)
		}
		tag = supervise.Digest(fmt.Sprint(ids))
		for name, id := range ids {
			image := registry + name + ":" + tag
			if err := c.run(ctx, "images", nil, "docker", "tag", id, image); err != nil {
				return err
			}
			images = append(images, image)
		}
		return nil
	})
	return images, tag, err
}

// run runs a program in the clone. Its output is in the log.
func (c *Cluster) run(ctx context.Context, log string, in io.Reader, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdin = c.Root, in
	// How an image was built would be another manifest in it, whose layers kind does not have when it loads it.
	cmd.Env = append(os.Environ(), "BUILDX_NO_DEFAULT_ATTESTATIONS=1")
	return supervise.Run(ctx, c.LogFile(log), cmd)
}
