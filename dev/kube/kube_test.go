package kube

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/stampede-shop/stampede/dev/progress"
	"github.com/stampede-shop/stampede/dev/stack"
)

const clone = "../.."

// TestStages: what is taken of deploy/Dockerfile is there, and is all that those stages copy.
func TestStages(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(clone, "deploy", "Dockerfile"))
	require.NoError(t, err)
	front, err := readStage(string(text), "front")
	require.NoError(t, err)
	require.Contains(t, front.files, stageFile{"deploy/nginx/front.conf.template", "/etc/nginx/templates/", 0o444})
	require.Contains(t, front.files, stageFile{"deploy/media/folder", "/etc/nginx/templates/", 0o444})
	require.Contains(t, front.files, stageFile{"deploy/compose/nginx-start.sh", "/docker-entrypoint.d/15-stampede.sh", 0o755})
	require.Contains(t, front.env, "RUN_DIR=/tmp/nginx")
	require.Contains(t, front.env, "TRUSTED_PROXIES=")
	require.Contains(t, front.env, "NGINX_ENVSUBST_FILTER=^[A-Z][A-Z0-9_]*$")
	require.Equal(t, []string{"nginx", "-e", "stderr", "-c", "/tmp/nginx/nginx.conf"}, front.command)
	keycloak, err := readStage(string(text), "keycloak")
	require.NoError(t, err)
	require.Contains(t, keycloak.files, stageFile{"deploy/keycloak/realm.json", "/opt/keycloak/data/import/stampede-realm.json", 0o444})
	for _, f := range append(front.files, keycloak.files...) {
		_, err := os.Stat(filepath.Join(clone, f.from))
		require.NoError(t, err)
	}
	// Of services nothing can be read this way: they are compiled.
	_, err = readStage(string(text), "service")
	require.ErrorContains(t, err, "copies by --from")
	_, err = readStage(string(text), "nobody")
	require.ErrorContains(t, err, "no stage nobody")
}

// TestStandins: the files that stand in for images are there, and the chart names each image of a server.
func TestStandins(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(clone, "deploy", "helm", "files", "shop.json"))
	require.NoError(t, err)
	var list chartList
	require.NoError(t, json.Unmarshal(text, &list))
	require.Contains(t, list.Apps, "orders")
	for _, role := range []string{"postgres", "redis", "rabbitmq", "maildev", "kong"} {
		require.Contains(t, list.Images, role)
	}
	for _, name := range []string{"kong.sh", "nginx.sh", "postgres.sh"} {
		require.FileExists(t, filepath.Join(clone, ".ci", "standins", name))
	}
}

// TestLayer: owners, modes and links are as said, whoever runs this; and the same files are the same layer.
func TestLayer(t *testing.T) {
	t.Parallel()
	from := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(from, "bin"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(from, "bin", "run"), []byte("#!/bin/sh\n"), 0o700))
	require.NoError(t, os.Symlink("run", filepath.Join(from, "bin", "go")))
	fill := func(t *tree) {
		t.dir("/tmp", 0o777|fs.ModeSticky, root)
		t.text("/etc/passwd", "nobody\n")
		t.copy(from, "/opt/it", 0o444, [2]int{1000, 7})
		t.copy(filepath.Join(from, "bin", "go"), "/one", 0o555, root)
	}
	one, err := writeLayer(filepath.Join(t.TempDir(), "one.tar"), fill)
	require.NoError(t, err)
	two, err := writeLayer(filepath.Join(t.TempDir(), "two.tar"), fill)
	require.NoError(t, err)
	require.Equal(t, one.digest, two.digest)
	text, err := os.ReadFile(one.file)
	require.NoError(t, err)
	sum := sha256.Sum256(text)
	require.Equal(t, hex.EncodeToString(sum[:]), one.digest)
	there := read(t, bytes.NewReader(text))
	require.Equal(t, int64(0o1777), there["tmp/"].header.Mode)
	require.Equal(t, "nobody\n", there["etc/passwd"].text)
	require.Equal(t, int64(0o755), there["opt/it/bin/"].header.Mode, "a folder that its owner alone could enter")
	run := there["opt/it/bin/run"].header
	require.Equal(t, []int64{0o744, 1000, 7}, []int64{run.Mode, int64(run.Uid), int64(run.Gid)})
	require.Equal(t, "run", there["opt/it/bin/go"].header.Linkname)
	require.Equal(t, "#!/bin/sh\n", there["one"].text, "what the link leads to")

	_, err = writeLayer(filepath.Join(t.TempDir(), "none.tar"), func(t *tree) { t.copy(filepath.Join(from, "none"), "/none", 0, root) })
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestArchive: an engine finds in it every image by name, with its configuration and its layers by their digests, and each
// layer is there once.
func TestArchive(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	base, err := writeLayer(filepath.Join(dir, "base.tar"), func(t *tree) { t.text("/base", "base") })
	require.NoError(t, err)
	top, err := writeLayer(filepath.Join(dir, "top.tar"), func(t *tree) { t.text("/top", "top") })
	require.NoError(t, err)
	orders := image{
		name: "docker.io/stampede/orders:1", layers: []layer{base, top}, user: "65532:65532",
		env: []string{"A=b"}, entrypoint: []string{"/service"}, stop: "SIGQUIT",
	}
	pause := image{name: pauseImage, layers: []layer{base}, entrypoint: []string{"/health", "wait"}}
	var archive bytes.Buffer
	require.NoError(t, writeArchive(&archive, []image{orders, pause}))
	there := read(t, &archive)
	var manifest []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	require.NoError(t, json.Unmarshal([]byte(there["manifest.json"].text), &manifest))
	require.Len(t, manifest, 2)
	require.Equal(t, []string{"docker.io/stampede/orders:1"}, manifest[0].RepoTags)
	require.Equal(t, manifest[0].Layers[:1], manifest[1].Layers, "one base")
	require.Len(t, there, 1+2+2, "a list, two configurations, two layers")
	var config struct {
		OS     string `json:"os"`
		Config struct {
			User       string
			Env        []string
			Entrypoint []string
			StopSignal string
		} `json:"config"`
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	require.NoError(t, json.Unmarshal([]byte(there[manifest[0].Config].text), &config))
	require.Equal(t, "linux", config.OS)
	require.Equal(t, "65532:65532", config.Config.User)
	require.Equal(t, []string{"A=b"}, config.Config.Env)
	require.Equal(t, []string{"/service"}, config.Config.Entrypoint)
	require.Equal(t, "SIGQUIT", config.Config.StopSignal)
	require.Len(t, config.RootFS.DiffIDs, 2)
	for i, at := range manifest[0].Layers {
		sum := sha256.Sum256([]byte(there[at].text))
		require.Equal(t, "sha256:"+hex.EncodeToString(sum[:]), config.RootFS.DiffIDs[i])
	}
	other := orders
	other.env = []string{"A=c"}
	require.NotEqual(t, orders.digest(), other.digest())
}

type found struct {
	header tar.Header
	text   string
}

// read reads a tar.
func read(t *testing.T, r io.Reader) map[string]found {
	t.Helper()
	all := map[string]found{}
	for archive := tar.NewReader(r); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		text, err := io.ReadAll(archive)
		require.NoError(t, err)
		require.NotContains(t, all, header.Name, "twice")
		all[header.Name] = found{*header, string(text)}
	}
}

// TestCertificates: the API server is known under each of its names, an administrator by the authority, and what is passed on
// by another one; and what is there stays.
func TestCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, certificates(dir, "127.0.0.1:10443"))
	load := func(name string) *x509.Certificate {
		text, err := os.ReadFile(filepath.Join(dir, name+".crt"))
		require.NoError(t, err)
		block, _ := pem.Decode(text)
		cert, err := x509.ParseCertificate(block.Bytes)
		require.NoError(t, err)
		return cert
	}
	trusted := func(name string) *x509.CertPool {
		pool := x509.NewCertPool()
		pool.AddCert(load(name))
		return pool
	}
	for _, name := range []string{"127.0.0.1", nodeAddress, apiService, "kubernetes.default.svc"} {
		_, err := load("apiserver").Verify(x509.VerifyOptions{DNSName: name, Roots: trusted("ca")})
		require.NoError(t, err)
	}
	client := x509.VerifyOptions{KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	client.Roots = trusted("ca")
	_, err := load("admin").Verify(client)
	require.NoError(t, err)
	require.Equal(t, []string{"system:masters"}, load("admin").Subject.Organization)
	_, err = load("front-proxy").Verify(client)
	require.Error(t, err, "whoever may pass on may not come as a client")
	client.Roots = trusted("front-proxy-ca")
	_, err = load("front-proxy").Verify(client)
	require.NoError(t, err)

	before, err := os.ReadFile(filepath.Join(dir, "kubeconfig"))
	require.NoError(t, err)
	require.Contains(t, string(before), "https://127.0.0.1:10443")
	info, err := os.Stat(filepath.Join(dir, "kubeconfig"))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
	var config map[string]any
	require.NoError(t, yaml.Unmarshal(before, &config))
	require.NoError(t, certificates(dir, "127.0.0.1:10443"))
	after, err := os.ReadFile(filepath.Join(dir, "kubeconfig"))
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))
}

// TestNodeFiles: they are well-formed, name the node's folder, and agree with node.sh and outside.yaml about addresses.
func TestNodeFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, writeNode(dir))
	for name := range nodeFiles {
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.NotContains(t, string(text), "$STATE", name)
		if strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".conflist") {
			require.NoError(t, yaml.Unmarshal(text, new(map[string]any)), name)
		}
	}
	require.Contains(t, nodeScript, nodeAddress+"/24")
	require.Contains(t, nodeManifests, "clusterIP: "+nameService)
	require.Contains(t, nodeManifests, "addresses: ["+nodeAddress+"]")
	for _, document := range strings.Split(nodeManifests+"\n---\n"+outside, "\n---\n") {
		require.NoError(t, yaml.Unmarshal([]byte(document), new(map[string]any)))
	}
	var names []string
	for _, p := range nodeProcesses(dir, parts{"/cache"}) {
		names = append(names, p.Name)
		for _, arg := range p.Args {
			require.NotContains(t, arg, "%!")
		}
	}
	require.Subset(t, names, []string{"etcd", "kube-apiserver", "kubelet", "containerd", "coredns"})
	var ports []string
	for _, m := range regexp.MustCompile(`nodePort: (\d+)`).FindAllStringSubmatch(outside, -1) {
		ports = append(ports, m[1])
	}
	var want []string
	for _, port := range nodePorts {
		want = append(want, strconv.Itoa(port[1]))
	}
	require.Equal(t, want, ports)
}

// TestKindConfig: kind's node has the ports that a node of our own is reached by.
func TestKindConfig(t *testing.T) {
	t.Parallel()
	c := &Cluster{Stack: &stack.Stack{Offset: 4000}, kind: true}
	var config struct {
		Networking struct {
			Address string `yaml:"apiServerAddress"`
			Port    int    `yaml:"apiServerPort"`
		}
		Nodes []struct {
			Ports []map[string]any `yaml:"extraPortMappings"`
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(c.kindConfig()), &config))
	require.Equal(t, c.At(portAPI), net.JoinHostPort(config.Networking.Address, strconv.Itoa(config.Networking.Port)))
	require.Len(t, config.Nodes, 1)
	require.Len(t, config.Nodes[0].Ports, len(nodePorts))
	front := map[string]any{"containerPort": uint64(nodePortFront), "hostPort": uint64(12000), "listenAddress": "127.0.0.1"}
	require.Equal(t, front, config.Nodes[0].Ports[0])
}

// TestValues: the chart knows what it is given here, and kind, whose network would keep its policies, is spared them.
func TestValues(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(clone, "deploy", "helm", "values.yaml"))
	require.NoError(t, err)
	for _, kind := range []bool{false, true} {
		c := &Cluster{Stack: &stack.Stack{Offset: 4000}, kind: kind}
		values := c.shopValues("1")
		require.Equal(t, kind, slices.Contains(values, "networkPolicy.enabled=false"))
		for _, value := range values {
			if name, _, set := strings.Cut(value, "="); set {
				at, below, _ := strings.Cut(name, ".")
				require.Regexp(t, `(?m)^`+at+`:`, string(text), name)
				below, _, _ = strings.Cut(below, ".")
				require.Regexp(t, `(?m)^`+at+`:([^\n]|\n )*\b`+below+`:`, string(text), name)
			}
		}
	}
}

// TestForward: what comes to this machine's port reaches an address of the network that process 1 of the node is in, both
// ways, and is hung up on while there is none.
func TestForward(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("who is not root cannot enter another network")
	}
	inside, thread := network(t)
	go func() {
		for {
			conn, err := inside.Accept()
			if err != nil {
				return
			}
			text, _ := io.ReadAll(conn)
			_, _ = conn.Write(append([]byte("heard "), text...))
			conn.Close()
		}
	}()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	at := free.Addr().String()
	require.NoError(t, free.Close())
	state := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- Forward(ctx, state, []string{at + "=" + inside.Addr().String()}) }()
	ask := func() string {
		var conn net.Conn
		require.Eventually(t, func() bool {
			conn, err = net.Dial("tcp", at)
			return err == nil
		}, 10*time.Second, 10*time.Millisecond)
		defer conn.Close()
		_, _ = conn.Write([]byte("hello"))
		_ = conn.(*net.TCPConn).CloseWrite()
		text, _ := io.ReadAll(conn)
		return string(text)
	}
	require.Empty(t, ask(), "there is no node yet")
	require.NoError(t, os.WriteFile(filepath.Join(state, "init.pid"), []byte(strconv.Itoa(thread)+"\n"), 0o600))
	require.Equal(t, "heard hello", ask())
	cancel()
	require.NoError(t, <-over)
}

// TestKubernetesModule: what Kubernetes is released with is taken by the versions that it has of its own.
func TestKubernetesModule(t *testing.T) {
	t.Parallel()
	text := kubernetesModule("module k8s.io/kubernetes\n\nrequire (\n\tk8s.io/api v0.0.0\n\tk8s.io/kubelet v0.0.0 // indirect\n" +
		"\tk8s.io/utils v0.0.0-20250604170112-4c0f3b243397\n\tk8s.io/klog/v2 v2.130.1\n)\n")
	require.Contains(t, text, "\tk8s.io/api => k8s.io/api v0.34.4\n")
	require.Contains(t, text, "\tk8s.io/kubelet => k8s.io/kubelet v0.34.4\n")
	require.NotContains(t, text, "utils")
	require.NotContains(t, text, "klog")
	require.Contains(t, text, "require k8s.io/kubernetes v1.34.4\n")
}

// TestReplaced: what a module replaces, in either form, is replaced where it is built, and nothing else is taken over.
func TestReplaced(t *testing.T) {
	t.Parallel()
	require.Equal(t, "replace a.test/x => a.test/x v1.2.3\nreplace (\n\t// why\n\tb.test/y => b.test/y v0.1.0\n)\n",
		replaced("module m\n\nreplace a.test/x => a.test/x v1.2.3\n\nreplace (\n\t// why\n\tb.test/y => b.test/y v0.1.0\n)\n\n"+
			"require (\n\tc.test/z v1.0.0\n)\n\nexclude d.test/replace v1.0.0\n"))
	require.Empty(t, replaced("module m\n\nrequire c.test/z v1.0.0\n"))
}

// network listens on the loopback of another network than this machine's, which a thread of this process is in until the test
// ends.
func network(t *testing.T) (inside net.Listener, thread int) {
	t.Helper()
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: nobody else gets this thread
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = exec.Command("ip", "link", "set", "lo", "up").Run()
		}
		if err == nil {
			inside, err = net.Listen("tcp", "127.0.0.1:0")
		}
		thread = unix.Gettid()
		ready <- err
		<-t.Context().Done()
	}()
	require.NoError(t, <-ready)
	t.Cleanup(func() { inside.Close() })
	return inside, thread
}

// TestOnce: what is there is not made again, what fails leaves nothing behind, and the next try makes it.
func TestOnce(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	c := &Cluster{Stack: &stack.Stack{Out: progress.New(io.Discard)}, parts: parts{cache}}
	at := filepath.Join(cache, "part-1")
	broken := errors.New("no network")
	made := 0
	build := func(_ context.Context, to string) error {
		made++
		if err := writeFiles(to, map[string]string{"program": "half"}); err != nil || made == 1 {
			return errors.Join(err, broken)
		}
		return writeFiles(to, map[string]string{"program": "whole"})
	}
	require.ErrorIs(t, c.once(t.Context(), "part", "building", at, build), broken)
	left, err := os.ReadDir(cache)
	require.NoError(t, err)
	require.Empty(t, left)
	for range 2 {
		require.NoError(t, c.once(t.Context(), "part", "building", at, build))
	}
	require.Equal(t, 2, made)
	text, err := os.ReadFile(filepath.Join(at, "program"))
	require.NoError(t, err)
	require.Equal(t, "whole", string(text))
}
