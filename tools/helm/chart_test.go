package helm

import (
	"context"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	configuration "github.com/dapr/dapr/pkg/apis/configuration/v1alpha1"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// production is what values-production.yaml leaves to whoever installs it.
const production = `
images: {repository: registry.example.com/stampede, tag: 1.2.0}
publicUrl: https://shop.example.com
settings: {S3_ENDPOINT: "https://s3.example.com", S3_BUCKET: pictures, S3_REGION: eu-west-1}
redis: {host: redis.example.com}
keycloak: {address: "keycloak.identity.svc:8080"}
mail: {host: smtp.example.com, from: "Shop <shop@example.com>"}
front: {trustedProxies: [10.0.0.0/8]}
ingress: {host: shop.example.com, tlsSecret: shop-tls}
networkPolicy: {egress: {all: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}}
`

const surge = `keda: {surge: {start: "30 11 * * 5", end: "0 14 * * 5", timezone: Europe/London}}`

// ways are the ways to install the chart that are tried: files, and what is given besides.
var ways = map[string]struct {
	files []string
	more  string
}{
	"a laptop":           {},
	"a laptop with KEDA": {nil, `{keda: {enabled: true}, apps: {orders: {max: 2}, store: {max: 3}}}`},
	"production":         {[]string{"values-production.yaml"}, production},
	"a surge":            {[]string{"values-production.yaml", "values-surge.yaml"}, production + "\n---\n" + surge},
	"jetstream":          {nil, `{swap: [jetstream], settings: {NATS_URL: "nats://nats:4222"}}`},
	"kafka":              {nil, `{swap: [kafka], settings: {KAFKA_BROKERS: "kafka:9092"}}`},
	"redis-streams":      {nil, `{swap: [redis-streams]}`},
	"state-postgres":     {nil, `{swap: [state-postgres]}`},
	"mail-smtp-stock":    {nil, `{swap: [mail-smtp-stock]}`},
	"mail-ses":           {nil, `{swap: [mail-ses], settings: {SES_REGION: eu-west-1}, secrets: {create: false}}`},
	"media-s3": {nil, `{swap: [media-s3], secrets: {create: false},
		settings: {S3_ENDPOINT: "http://s3:7070", S3_BUCKET: pictures, S3_REGION: us-east-1}}`},
	"kafka,state-postgres": {nil, `{swap: [kafka, state-postgres], keda: {enabled: true}, apps: {orders: {max: 2}},
		settings: {KAFKA_BROKERS: "kafka:9092"}}`},
}

// given are the values of a way.
func given(t *testing.T, way string) map[string]any {
	t.Helper()
	more := ways[way].more
	if before, after, two := strings.Cut(more, "\n---\n"); two {
		all := values(t, after)
		return merged(all, values(t, before, ways[way].files...))
	}
	return values(t, more, ways[way].files...)
}

// merged lays a over b.
func merged(a, b map[string]any) map[string]any {
	for key, below := range b {
		have, ok := a[key]
		if !ok {
			a[key] = below
		}
		inner, ok := have.(map[string]any)
		if below, both := below.(map[string]any); ok && both {
			a[key] = merged(inner, below)
		}
	}
	return a
}

// installed are the objects of a way, decoded, and the Secrets that somebody else makes.
func installed(t *testing.T, values map[string]any) ([]object, []string) {
	t.Helper()
	manifests, err := render(folder, values, nil)
	require.NoError(t, err)
	list, err := decode(manifests)
	require.NoError(t, err)
	if slices.ContainsFunc(list, func(o object) bool { return o.Kind == "Secret" }) {
		return list, nil
	}
	external := []string{"stampede", "edge-token"}
	for _, o := range list {
		external = append(external, o.Name+"-token")
	}
	return list, external
}

// TestChart: however it is installed, what the chart makes has the form that Kubernetes, Dapr and KEDA demand, and keeps
// the rules.
func TestChart(t *testing.T) {
	t.Parallel()
	for way := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			values := given(t, way)
			for _, message := range lint.All(folder, values, namespace, true).Messages {
				require.LessOrEqual(t, message.Severity, support.InfoSev, "%v", message)
			}
			list, external := installed(t, values)
			require.Empty(t, rules(list, external...))
			require.Equal(t, len(ways[way].files) > 0 || strings.Contains(ways[way].more, "keda"),
				slices.ContainsFunc(list, func(o object) bool { return o.Kind == "HorizontalPodAutoscaler" || o.Kind == "ScaledObject" }))
		})
	}
}

// TestSwaps: every folder of components/swaps that has files is among the ways, or refused for a reason.
func TestSwaps(t *testing.T) {
	t.Parallel()
	folders, err := filepath.Glob("../../components/swaps/*/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, folders)
	for _, file := range folders {
		name := filepath.Base(filepath.Dir(file))
		if name != "secrets-file" {
			require.Contains(t, ways, name)
		}
	}
}

// TestSurge: before a drop each app has its number of pods by the clock, those of a consumer also by what waits.
func TestSurge(t *testing.T) {
	t.Parallel()
	list, _ := installed(t, given(t, "a surge"))
	i := slices.IndexFunc(list, func(o object) bool { return o.Kind == "ScaledObject" && o.Name == "orders" })
	require.GreaterOrEqual(t, i, 0)
	orders := list[i].Is.(*scaledObject).Spec
	require.Equal(t, []int{2, 12}, []int{orders.MinReplicaCount, orders.MaxReplicaCount})
	triggers := map[string]map[string]string{}
	for _, trigger := range orders.Triggers {
		triggers[trigger.Type] = trigger.Metadata
	}
	require.Equal(t, "8", triggers["cron"]["desiredReplicas"])
	require.Equal(t, "30 11 * * 5", triggers["cron"]["start"])
	require.Regexp(t, regexp.MustCompile(triggers["rabbitmq"]["queueName"]), "orders-payment.captured.v1")
	require.NotRegexp(t, regexp.MustCompile(triggers["rabbitmq"]["queueName"]), "mail-order.placed.v1")
	require.Equal(t, "30", triggers["postgresql"]["targetQueryValue"])
	require.Equal(t, "70", triggers["cpu"]["value"])
	for _, o := range list {
		if is, ok := o.Is.(*appsv1.Deployment); ok && o.Name == "orders" {
			require.Nil(t, is.Spec.Replicas, "an upgrade would set back how many there are")
		}
	}
}

// TestOrders: one app's pod as it is in the end, beside its sidecar.
func TestOrders(t *testing.T) {
	t.Parallel()
	list, _ := installed(t, given(t, "a laptop"))
	pods, errs := podsOf(list)
	require.Empty(t, errs)
	i := slices.IndexFunc(pods, func(p pod) bool { return p.owner == "Deployment orders" })
	require.GreaterOrEqual(t, i, 0)
	app, daprd := pods[i].is.Spec.Containers[0], pods[i].is.Spec.Containers[1]
	require.Equal(t, "stampede/orders:dev", app.Image)
	require.Equal(t, "stampede/dapr:dev", daprd.Image)
	from := func(c corev1.Container, name string) string {
		for _, e := range c.Env {
			switch {
			case e.Name != name:
			case e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil:
				return e.ValueFrom.SecretKeyRef.Name + "/" + e.ValueFrom.SecretKeyRef.Key
			default:
				return e.Value
			}
		}
		return "none"
	}
	for name, want := range map[string]string{
		"APP_PORT": "7106", "APP_HOST": "0.0.0.0", "APP_API_TOKEN": "orders-token/token", "DAPR_API_TOKEN": "orders-token/token",
		"ORDERS_DATABASE_URL": "stampede/ORDERS_DATABASE_URL", "HASH_KEY": "stampede/HASH_KEY", "DAPR_HTTP_PORT": "3500",
		"ISSUER": "http://localhost:8000/realms/stampede", "REDIS_PASSWORD": "none", "DROPS_KEY": "none", "SHOPPER_PASSWORD": "none",
	} {
		require.Equal(t, want, from(app, name), name)
	}
	for name, want := range map[string]string{
		"RABBITMQ_URL": "stampede/RABBITMQ_URL", "APP_API_TOKEN": "orders-token/token", "REDIS_HOST": "none",
		"ORDERS_DATABASE_URL": "none", "GOMEMLIMIT": "256MiB", "NAMESPACE": namespace,
	} {
		require.Equal(t, want, from(daprd, name), name)
	}
	require.Contains(t, strings.Join(daprd.Args, " "), "--max-body-size 64Mi --read-buffer-size 64Ki")
}

// TestBeacon: drops reaches a relay of drand, and by that nothing in private networks, unless it is told not to.
func TestBeacon(t *testing.T) {
	t.Parallel()
	for more, there := range map[string]bool{
		``: true, `{networkPolicy: {beacon: false}}`: false, `{settings: {DROPS_BEACON_URL: ""}}`: false,
		`{settings: {DROPS_BEACON_URL: "https://drand.example.com"}}`: true,
	} {
		list, _ := installed(t, merged(values(t, more), given(t, "a laptop")))
		i := slices.IndexFunc(list, func(o object) bool { return o.Kind == "NetworkPolicy" && o.Name == "drops-beacon" })
		require.Equal(t, there, i >= 0, more)
		if !there {
			continue
		}
		policy := list[i].Is.(*networkingv1.NetworkPolicy).Spec
		require.Equal(t, map[string]string{"app.kubernetes.io/name": "drops"}, policy.PodSelector.MatchLabels)
		require.Len(t, policy.Egress, 1)
		require.Len(t, policy.Egress[0].Ports, 1)
		require.Equal(t, 443, policy.Egress[0].Ports[0].Port.IntValue())
		for address, open := range map[string]bool{
			"104.18.0.1": true, "2606:4700::1": true, "10.1.2.3": false, "172.20.0.1": false, "192.168.1.1": false,
			"169.254.169.254": false, "fd00::1": false,
		} {
			in := func(cidr string) bool { return netip.MustParsePrefix(cidr).Contains(netip.MustParseAddr(address)) }
			require.Equal(t, open, slices.ContainsFunc(policy.Egress[0].To, func(to networkingv1.NetworkPolicyPeer) bool {
				return in(to.IPBlock.CIDR) && !slices.ContainsFunc(to.IPBlock.Except, in)
			}), address)
		}
	}
}

// TestLimits: what Kong refuses is what the values say.
func TestLimits(t *testing.T) {
	t.Parallel()
	list, _ := installed(t, merged(values(t, `{limits: {token: 60000, address: 60001, login: 6002}}`), given(t, "a laptop")))
	i := slices.IndexFunc(list, func(o object) bool { return o.Kind == "ConfigMap" && o.Name == "kong" })
	require.GreaterOrEqual(t, i, 0)
	var said []string
	file := list[i].Is.(*corev1.ConfigMap).Data["kong_kong.yml"]
	for _, m := range regexp.MustCompile(`(?m)^ +minute: (.+)$`).FindAllStringSubmatch(file, -1) {
		said = append(said, m[1])
	}
	require.ElementsMatch(t, []string{"60000", "60001", "6002"}, said)
}

// TestRefuses: values that contradict each other, or name what is not there, are named.
func TestRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ way, more, want string }{
		"an unknown value":       {"a laptop", `{postgress: {inCluster: true}}`, "postgress"},
		"an unknown app":         {"a laptop", `{apps: {ordres: {max: 2}}}`, "apps.ordres: there is none of that name"},
		"the latest image":       {"a laptop", `{images: {tag: latest}}`, "images.tag"},
		"a number in words":      {"a laptop", `{apps: {orders: {max: two}}}`, "apps.orders.max"},
		"less than none":         {"a laptop", `{apps: {orders: {min: 0}}}`, "apps.orders.min"},
		"more than the most":     {"a laptop", `{apps: {store: {min: 3, max: 2}}}`, "apps.store: min 3 is more than max 2"},
		"an unknown swap":        {"a laptop", `{swap: [mysql]}`, "components/swaps has no mysql"},
		"two brokers":            {"a laptop", `{swap: [kafka, jetstream]}`, "jetstream and another one both replace pubsub.yaml"},
		"secrets in a file":      {"a laptop", `{swap: [secrets-file]}`, "secrets-file: in a cluster"},
		"a setting nobody reads": {"a laptop", `{settings: {LOW_STOKC: "5"}}`, "settings.LOW_STOKC: nobody reads that"},
		"another's setting":      {"a laptop", `{apps: {mail: {settings: {LOW_STOCK: "5"}}}}`, "apps.mail.settings.LOW_STOCK"},
		"a secret among values":  {"a laptop", `{settings: {HASH_KEY: "0123456789abcdef"}}`, "settings.HASH_KEY is a secret"},
		"connections": {"a laptop", `{apps: {orders: {max: 12}}}`,
			"so many pods may want 427 connections of 400 (postgres.maxConnections): 15 to spare, 20 of keycloak"},
		"sessions in memory": {"production", `{apps: {edge-admin: {max: 2}}}`, "apps.edge-admin: one pod alone"},
		"a folder for many":  {"a laptop", `{apps: {front: {max: 2}}}`, "apps.front: several pods and one folder"},
		"made up for others": {"a laptop", `{redis: {inCluster: false, host: cache}}`, "secrets.create: for servers that others run"},
		"a broker's address": {"a laptop", `{swap: [kafka]}`, "secrets.create: nobody can make KAFKA_BROKERS up"},
		"Keycloak alone":     {"production", `{keycloak: {inCluster: true, address: "keycloak:8180"}}`, "keycloak.inCluster: it keeps"},
		"two Redis":          {"a laptop", `{redis: {host: cache}}`, "redis: inCluster, and the host of another one"},
		"two Keycloaks":      {"a laptop", `{keycloak: {address: "id:80"}}`, "keycloak: inCluster, and the address of another"},
		"no way out": {"production", `{networkPolicy: {egress: null}}`,
			"networkPolicy.egress: postgres is outside, and not all may go there: auth, "},
		"no way for some": {"production", `{networkPolicy: {egress: {all: [], carts: [{}], kong: [{}], products: [{}]}}}`,
			"networkPolicy.egress: redis is outside, and not all may go there: store"},
		"one address for all":   {"production", `{front: {trustedProxies: []}}`, "front.trustedProxies"},
		"https without TLS":     {"production", `{ingress: {tlsSecret: ""}}`, "ingress.tlsSecret"},
		"an ingress for nobody": {"production", `{ingress: {host: ""}}`, "ingress.host"},
		"a clock nobody sees":   {"production", surge, "keda.surge: nobody looks at the clock"},
		"a surge without a day": {"a surge", `{keda: {surge: {start: ""}}}`, "surge, and keda.surge.start does not say when"},
		"a surge without end":   {"a surge", `{keda: {surge: {end: ""}}}`, "keda.surge.end: until when"},
		"too large a surge":     {"a surge", `{apps: {orders: {surge: 13}}}`, "apps.orders: surge 13 is more than max 12"},
		"no images":             {"production", `{images: {repository: ""}}`, "images.repository: where the shop's images are"},
		"no version":            {"production", `{images: {tag: ""}}`, "images.tag: their version"},
		"no address":            {"production", `{publicUrl: ""}`, "publicUrl: where browsers find the shop"},
		"no Redis":              {"production", `{redis: {host: ""}}`, "redis.host: the Redis"},
		"no Keycloak":           {"production", `{keycloak: {address: ""}}`, "keycloak.address: host:port of Keycloak"},
		"no mail server":        {"production", `{mail: {host: ""}}`, "mail.host: the mail server"},
		"no bucket":             {"production", `{settings: {S3_BUCKET: ""}}`, "settings.S3_BUCKET"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := render(folder, merged(values(t, c.more), given(t, c.way)), nil)
			require.ErrorContains(t, err, c.want)
		})
	}
}

// TestMissingSecrets: a cluster in which a Secret, a key of it, or a token is missing is told which.
func TestMissingSecrets(t *testing.T) {
	t.Parallel()
	values := given(t, "production")
	whole := cluster{}
	_, err := render(folder, values, whole)
	require.ErrorContains(t, err, "the Secret stampede has no ORDERS_DATABASE_URL")
	require.ErrorContains(t, err, "there is no Secret orders-token with a key token")

	missing := regexp.MustCompile(`the Secret (\S+) has no (\S+)|no Secret (\S+) with a key (\S+)`)
	for _, m := range missing.FindAllStringSubmatch(err.Error(), -1) {
		whole.put(m[1]+m[3], m[2]+m[4])
	}
	require.Len(t, whole["stampede"], 20)
	_, err = render(folder, values, whole)
	require.NoError(t, err)
	delete(whole["stampede"], "HASH_KEY")
	_, err = render(folder, values, whole)
	require.ErrorContains(t, err, "values:\n  the Secret stampede has no HASH_KEY")
}

// TestKept: passwords that are there stay.
func TestKept(t *testing.T) {
	t.Parallel()
	have := cluster{}
	have.put("stampede", "REDIS_PASSWORD")
	have.put("orders-token", "token")
	manifests, err := render(folder, given(t, "a laptop"), have)
	require.NoError(t, err)
	list, err := decode(manifests)
	require.NoError(t, err)
	for _, o := range list {
		is, ok := o.Is.(*corev1.Secret)
		switch {
		case ok && o.Name == "stampede":
			require.Equal(t, "kept", string(is.Data["REDIS_PASSWORD"]))
			require.Len(t, is.Data["HASH_KEY"], 40)
			password := string(is.Data["ORDERS_DATABASE_PASSWORD"])
			address := "postgres://orders:" + password + "@postgres." + namespace + ".svc:5432/orders" // as KEDA finds it, from elsewhere
			require.Equal(t, address, string(is.Data["ORDERS_DATABASE_URL"]))
		case ok && o.Name == "orders-token":
			require.Equal(t, "kept", string(is.Data["token"]))
		}
	}
}

// cluster answers what templates look up: Secrets, by name and key.
type cluster map[string]map[string]any

func (c cluster) put(secret, key string) {
	if c[secret] == nil {
		c[secret] = map[string]any{}
	}
	c[secret][key] = "a2VwdA==" // kept
}

func (c cluster) GetClientFor(_, kind string) (dynamic.NamespaceableResourceInterface, bool, error) {
	return resource{cluster: c, kind: kind}, true, nil
}

type resource struct {
	dynamic.NamespaceableResourceInterface
	cluster cluster
	kind    string
}

func (r resource) Namespace(string) dynamic.ResourceInterface { return r }

func (r resource) Get(_ context.Context, name string, _ metav1.GetOptions, _ ...string) (*unstructured.Unstructured, error) {
	if r.kind == "ConfigMap" {
		return &unstructured.Unstructured{Object: map[string]any{"kind": r.kind}}, nil
	}
	data, ok := r.cluster[name]
	if !ok {
		return nil, errors.NewNotFound(schema.GroupResource{Resource: "secrets"}, name)
	}
	return &unstructured.Unstructured{Object: map[string]any{"kind": r.kind, "data": data}}, nil
}

// broken is what a test changes of the chart's objects.
type broken []object

func (b broken) deployment(name string) *appsv1.Deployment {
	for _, o := range b {
		if is, ok := o.Is.(*appsv1.Deployment); ok && o.Name == name {
			return is
		}
	}
	panic(name)
}

func (b broken) pod(name string) *corev1.PodSpec { return &b.deployment(name).Spec.Template.Spec }

func (b broken) container(name string) *corev1.Container { return &b.pod(name).Containers[0] }

func (b broken) security(name string) *corev1.SecurityContext {
	return b.container(name).SecurityContext
}

func (b broken) annotations(name string) map[string]string {
	return b.deployment(name).Spec.Template.Annotations
}

// policies makes a budget or a network policy one for the pods of another name.
func (b broken) policies(which, name string) {
	for _, o := range b {
		if o.Kind+" "+o.Name != which {
			continue
		}
		selector := metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": name}}
		switch is := o.Is.(type) {
		case *policyv1.PodDisruptionBudget:
			is.Spec.Selector = &selector
		case *networkingv1.NetworkPolicy:
			is.Spec.PodSelector = selector
		}
	}
}

// TestRulesBite: each rule refuses what breaks it.
func TestRulesBite(t *testing.T) {
	t.Parallel()
	manifests, err := render(folder, merged(values(t, `{apps: {store: {max: 2}, orders: {max: 2}}}`), given(t, "a laptop")), nil)
	require.NoError(t, err)
	yes, no, root := true, false, int64(0)
	for want, breaks := range map[string]func(b broken){
		"Deployment orders may be root":           func(b broken) { b.pod("orders").SecurityContext.RunAsUser = &root },
		"orders: app may be root":                 func(b broken) { b.security("orders").RunAsUser = &root },
		"kong: seccomp":                           func(b broken) { b.pod("kong").SecurityContext.SeccompProfile = nil },
		"kong has an account's token":             func(b broken) { b.pod("kong").AutomountServiceAccountToken = nil },
		"kong: service links":                     func(b broken) { b.pod("kong").EnableServiceLinks = &yes },
		"kong shares the host's":                  func(b broken) { b.pod("kong").HostNetwork = true },
		"front: front may gain privileges":        func(b broken) { b.security("front").Privileged = &yes },
		"kong: kong may gain privileges":          func(b broken) { b.security("kong").AllowPrivilegeEscalation = nil },
		"front: front writes into its image":      func(b broken) { b.security("front").ReadOnlyRootFilesystem = &no },
		"front: front has capabilities":           func(b broken) { b.security("front").Capabilities.Drop = nil },
		"store: app: memory is not bounded":       func(b broken) { delete(b.container("store").Resources.Limits, "memory") },
		"store: app: cpu is not bounded":          func(b broken) { delete(b.container("store").Resources.Requests, "cpu") },
		"store: daprd: memory is not bounded":     func(b broken) { delete(b.annotations("store"), "dapr.io/sidecar-memory-limit") },
		"the image stampede/store has no version": func(b broken) { b.container("store").Image = "stampede/store" },
		"stampede/store:latest has no version":    func(b broken) { b.container("store").Image = "stampede/store:latest" },
		"store: app is not asked whether it is":   func(b broken) { b.container("store").LivenessProbe = nil },
		"store: app: there is no volume tpm":      func(b broken) { b.container("store").VolumeMounts[0].Name = "tpm" },
		"store: the volume tmp has no bound":      func(b broken) { b.pod("store").Volumes[0].EmptyDir.SizeLimit = nil },
		"store: the sidecar has no volume x":      func(b broken) { b.annotations("store")["dapr.io/volume-mounts-rw"] = "x:/tmp" },
		"store is killed before its sidecar has ": func(b broken) { *b.pod("store").TerminationGracePeriodSeconds = 50 },
		"store: its sidecar ends before its app ": func(b broken) { b.annotations("store")["dapr.io/block-shutdown-duration"] = "44s" },
		"kong is killed before what is in hand":   func(b broken) { *b.pod("kong").TerminationGracePeriodSeconds = 19 },
		"orders: two at once may end, and keep ":  func(b broken) { b.deployment("orders").Spec.MinReadySeconds = 59 },
		"orders: not one by one":                  func(b broken) { b.deployment("orders").Spec.Strategy.RollingUpdate.MaxSurge = nil },
		"store is not spread":                     func(b broken) { b.pod("store").TopologySpreadConstraints = nil },
		"Deployment store: no PodDisruptionBudge": func(b broken) { b.policies("PodDisruptionBudget store", "kong") },
		"Job migrate: no NetworkPolicy says wher": func(b broken) { b.policies("NetworkPolicy all", "kong") },
		"front: a path of the host":               func(b broken) { b.pod("front").Volumes[0].HostPath = &corev1.HostPathVolumeSource{} },
		"no tokn in a Secret edge-token":          func(b broken) { b.container("kong").Env[4].ValueFrom.SecretKeyRef.Key = "tokn" },
		"daprd: there is no B in a Secret stampe": func(b broken) { b.annotations("mail")["dapr.io/env-from-secret"] = "A=stampede:B" },
		"Dapr knows no annotation dapr.io/app-pr": func(b broken) { b.annotations("mail")["dapr.io/app-prot"] = "1" },
		"there is no Configuration mial":          func(b broken) { b.annotations("mail")["dapr.io/config"] = "mial" },
		"Service edge meets no pod":               misnamed,
		"edge: no NetworkPolicy says":             misnamed,
		"edge does not select its own pods":       misnamed,
		"front does not listen at http":           func(b broken) { b.container("front").Ports[0].Name = "htpt" },
		"front: there is no claim x":              func(b broken) { b.pod("front").Volumes[2].PersistentVolumeClaim.ClaimName = "x" },
		"there is no x in a ConfigMap kong":       func(b broken) { b.pod("kong").Volumes[0].ConfigMap.Items[0].Key = "x" },
		"mail: app: APP_PORT is there twice": func(b broken) {
			c := b.container("mail")
			c.Env = append(c.Env, corev1.EnvVar{Name: "APP_PORT"})
		},
		"Deployment front is there twice": func(b broken) { b[0].Kind, b[0].Name = "Deployment", "front" },
		"there is no Deployment x": func(b broken) {
			for _, o := range b {
				if is, ok := o.Is.(*autoscalingv2.HorizontalPodAutoscaler); ok {
					is.Spec.ScaleTargetRef.Name = "x"
				}
			}
		},
		"orders: lets everybody in": func(b broken) {
			for _, o := range b {
				if is, ok := o.Is.(*configuration.Configuration); ok && o.Name == "orders" {
					is.Spec.AccessControlSpec.DefaultAction = "allow"
				}
			}
		},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			list, err := decode(manifests)
			require.NoError(t, err)
			require.Empty(t, rules(list))
			breaks(list)
			require.Contains(t, strings.Join(rules(list), "\n"), want)
		})
	}
}

func misnamed(b broken) { b.deployment("edge").Spec.Template.Labels["app.kubernetes.io/name"] = "egde" }

// TestStrict: a field that is misspelt, of another type, there twice, or of a kind nobody knows is refused.
func TestStrict(t *testing.T) {
	t.Parallel()
	for want, text := range map[string]string{
		"unknown field \"spec.replcias\"":         "apiVersion: apps/v1\nkind: Deployment\nspec: {replcias: 1}",
		"unknown field \"spec.scops\"":            "apiVersion: dapr.io/v1alpha1\nkind: Component\nspec: {scops: []}",
		"unknown field \"spec.triger\"":           "apiVersion: keda.sh/v1alpha1\nkind: TriggerAuthentication\nspec: {triger: 1}",
		"triggers is required":                    "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nspec: {scaleTargetRef: {name: x}}",
		"cannot unmarshal string":                 "apiVersion: apps/v1\nkind: Deployment\nspec: {replicas: one}",
		"already set in map":                      "apiVersion: v1\nkind: Service\nkind: Service",
		"no type for a Gateway of example.com/v1": "apiVersion: example.com/v1\nkind: Gateway",
	} {
		_, err := decode(map[string]string{"a.yaml": text})
		require.ErrorContains(t, err, want)
	}
}

// TestFiles: what the chart is sent with fits into a release: Helm keeps all of it in one Secret.
func TestFiles(t *testing.T) {
	t.Parallel()
	chart, err := loader.LoadDir(folder)
	require.NoError(t, err)
	size := 0
	for _, f := range chart.Raw {
		size += len(f.Data)
		require.NotEqual(t, ".md", filepath.Ext(f.Name))
	}
	require.Less(t, size, 512<<10)
	require.NoError(t, filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			_, err = os.Stat(path)
		}
		return err
	}))
}
