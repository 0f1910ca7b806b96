package kube

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/supervise"
	"github.com/stampede-shop/stampede/kit/pause"
)

// Addresses inside the node, which nobody outside sees (node.sh).
const (
	nodeAddress   = "10.213.0.1"
	podNetwork    = "10.244.0.0/16"
	serviceRange  = "10.96.0.0/16"
	apiService    = "10.96.0.1" // the first of the range: the API server's own
	nameService   = "10.96.0.10"
	clusterDomain = "cluster.local"
)

// nodeFiles are what the node's parts read, by name in the node's folder, which is $STATE.
var nodeFiles = map[string]string{
	"containerd.toml": `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "` + pauseImage + `"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$STATE/cni"
`,
	// A pair of ends for each pod and a route to it: what goes to a Service and back always passes the node's tables.
	"cni/10-pods.conflist": `{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [
    {"type": "ptp", "ipam": {
      "type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": "` + podNetwork + `"}]], "routes": [{"dst": "0.0.0.0/0"}]
    }}
  ]
}
`,
	"kubelet.yaml": `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $STATE/pki/ca.crt}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
failCgroupV1: false
clusterDomain: ` + clusterDomain + `
clusterDNS: [` + nameService + `]
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
failSwapOn: false
imageGCHighThresholdPercent: 100 # what is thrown away cannot be fetched again
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
maxPods: 200
featureGates: {KubeletCrashLoopBackOffMax: true}
crashLoopBackOff: {maxContainerRestartPeriod: 10s} # all start at once here, and who comes too early would wait for minutes
`,
	"proxy.yaml": `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: ` + podNetwork + `
clientConnection: {kubeconfig: $STATE/pki/node.kubeconfig}
conntrack: {maxPerCore: 0} # the whole machine's, not a namespace's
`,
	"Corefile": `.:53 {
    bind ` + nodeAddress + `
    errors
    cache 5
    kubernetes ` + clusterDomain + ` {
        kubeconfig $STATE/pki/node.kubeconfig
    }
}
`,
}

// writeNode writes nodeFiles into the node's folder.
func writeNode(state string) error {
	if err := os.MkdirAll(filepath.Join(state, "cni"), 0o755); err != nil {
		return err
	}
	for name, text := range nodeFiles {
		text = strings.ReplaceAll(text, "$STATE", state)
		if err := os.WriteFile(filepath.Join(state, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// nodeProcesses are what a node is: the store, the API server and its clients, the runtime of containers, names.
func nodeProcesses(state string, p parts) []supervise.Process {
	pki := func(name string) string { return filepath.Join(state, "pki", name) }
	config := pki("node.kubeconfig")
	kubernetes := func(name string, args ...string) supervise.Process {
		return supervise.Process{Name: name, Args: append([]string{filepath.Join(p.kubernetes(), name)}, args...)}
	}
	list := []supervise.Process{
		{Name: "etcd", Args: []string{
			"/usr/bin/etcd", "--name=node", "--data-dir=/var/lib/etcd", "--log-level=warn",
			"--unsafe-no-fsync", // a cluster of an afternoon
		}},
		kubernetes("kube-apiserver",
			"--etcd-servers=http://127.0.0.1:2379", "--advertise-address="+nodeAddress, "--secure-port=6443",
			"--service-cluster-ip-range="+serviceRange, "--authorization-mode=RBAC", "--allow-privileged=true",
			"--client-ca-file="+pki("ca.crt"), "--tls-cert-file="+pki("apiserver.crt"), "--tls-private-key-file="+pki("apiserver.key"),
			"--kubelet-client-certificate="+pki("admin.crt"), "--kubelet-client-key="+pki("admin.key"),
			"--service-account-issuer=https://kubernetes.default.svc."+clusterDomain,
			"--service-account-key-file="+pki("accounts.crt"), "--service-account-signing-key-file="+pki("accounts.key"),
			"--requestheader-client-ca-file="+pki("front-proxy-ca.crt"), "--requestheader-allowed-names=front-proxy",
			"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
			"--requestheader-extra-headers-prefix=X-Remote-Extra-",
			"--proxy-client-cert-file="+pki("front-proxy.crt"), "--proxy-client-key-file="+pki("front-proxy.key"),
			"--enable-aggregator-routing=true"),
		kubernetes("kube-controller-manager",
			"--kubeconfig="+config, "--leader-elect=false", "--bind-address=127.0.0.1",
			"--service-account-private-key-file="+pki("accounts.key"), "--root-ca-file="+pki("ca.crt"),
			"--cluster-signing-cert-file="+pki("ca.crt"), "--cluster-signing-key-file="+pki("ca.key")),
		kubernetes("kube-scheduler", "--kubeconfig="+config, "--leader-elect=false", "--bind-address=127.0.0.1"),
		{Name: "containerd", Args: []string{"/usr/bin/containerd", "--config", filepath.Join(state, "containerd.toml")}},
		kubernetes("kubelet", "--kubeconfig="+config, "--config="+filepath.Join(state, "kubelet.yaml"),
			"--hostname-override=stampede", "--node-ip="+nodeAddress),
		kubernetes("kube-proxy", "--config="+filepath.Join(state, "proxy.yaml")),
		{Name: "coredns", Args: []string{p.coredns(), "-conf", filepath.Join(state, "Corefile")}},
	}
	for i := range list {
		list[i].Dir, list[i].Patience = "/", 2*time.Second
		list[i].Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}
		list[i].Stage = i
	}
	return list
}

// Node runs inside the node's namespaces (node.sh): it keeps its processes running. cache is where the parts are.
func Node(ctx context.Context, state, cache string) error {
	if err := os.MkdirAll(filepath.Join(state, "logs"), 0o755); err != nil {
		return err
	}
	socket := "/run/supervisor.sock"
	client := &supervise.Client{Run: state, Socket: socket}
	go func() {
		for !install.Exists(socket) {
			if !pause.For(ctx, 20*time.Millisecond) {
				return
			}
		}
		for _, p := range nodeProcesses(state, parts{cache}) {
			for {
				_, err := client.Ensure(ctx, p)
				if err == nil {
					break
				}
				slog.Error("not started, tried again", "process", p.Name, "error", err)
				if !pause.For(ctx, time.Second) {
					return
				}
			}
		}
	}()
	return supervise.Serve(state, socket)
}
