package helm

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	components "github.com/dapr/dapr/pkg/apis/components/v1alpha1"
	configuration "github.com/dapr/dapr/pkg/apis/configuration/v1alpha1"
	"github.com/dapr/dapr/pkg/injector/patcher"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// pod is what a template makes, with the sidecar that Dapr's injector adds.
type pod struct {
	owner     string // Deployment orders
	name      string
	runs      bool // until it is told to stop
	claims    []string
	is        *corev1.Pod
	annotated map[string]string
}

// rules says what of the chart's objects breaks a rule for pods, or names what is not there. external are Secrets that
// somebody else makes.
func rules(list []object, external ...string) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	seen := map[string]bool{}
	secrets, files := map[string]map[string][]byte{}, map[string]map[string]string{}
	for _, o := range list {
		if id := o.Kind + " " + o.Name; seen[id] || o.Name == "" {
			say("%s is there twice, or has no name", id)
		} else {
			seen[id] = true
		}
		switch is := o.Is.(type) {
		case *corev1.Secret:
			secrets[o.Name] = is.Data
		case *corev1.ConfigMap:
			files[o.Name] = is.Data
		}
	}
	secret := func(at, name, key string) {
		if slices.Contains(external, name) {
			return
		}
		if len(secrets[name][key]) == 0 {
			say("%s: there is no %s in a Secret %s", at, key, name)
		}
	}

	pods, errs := podsOf(list)
	for _, err := range errs {
		say("%v", err)
	}
	for _, p := range pods {
		checkPod(p, say)
		for _, c := range slices.Concat(p.is.Spec.InitContainers, p.is.Spec.Containers) {
			for _, env := range c.Env {
				if env.ValueFrom != nil && env.ValueFrom.SecretKeyRef != nil {
					secret(p.owner+": "+c.Name, env.ValueFrom.SecretKeyRef.Name, env.ValueFrom.SecretKeyRef.Key)
				}
			}
		}
		for _, v := range p.is.Spec.Volumes {
			switch {
			case v.ConfigMap != nil:
				for _, item := range v.ConfigMap.Items {
					if _, ok := files[v.ConfigMap.Name][item.Key]; !ok {
						say("%s: there is no %s in a ConfigMap %s", p.owner, item.Key, v.ConfigMap.Name)
					}
				}
				if files[v.ConfigMap.Name] == nil {
					say("%s: there is no ConfigMap %s", p.owner, v.ConfigMap.Name)
				}
			case v.PersistentVolumeClaim != nil:
				if !seen["PersistentVolumeClaim "+v.PersistentVolumeClaim.ClaimName] {
					say("%s: there is no claim %s", p.owner, v.PersistentVolumeClaim.ClaimName)
				}
			}
		}
		if config := p.annotated["dapr.io/config"]; config != "" && !seen["Configuration "+config] {
			say("%s: there is no Configuration %s", p.owner, config)
		}
	}

	meets := func(at string, selector map[string]string) (met []pod) {
		for _, p := range pods {
			if len(selector) > 0 && labels.SelectorFromSet(selector).Matches(labels.Set(p.is.Labels)) {
				met = append(met, p)
			}
		}
		if len(met) == 0 {
			say("%s meets no pod", at)
		}
		return met
	}
	target := func(at, name string) {
		if !seen["Deployment "+name] {
			say("%s: there is no Deployment %s", at, name)
		}
	}
	for _, o := range list {
		at := o.Kind + " " + o.Name
		switch is := o.Is.(type) {
		case *corev1.Service:
			for _, p := range meets(at, is.Spec.Selector) {
				for _, port := range is.Spec.Ports {
					if !listens(p, port.TargetPort) {
						say("%s: %s does not listen at %s", at, p.owner, port.TargetPort.String())
					}
				}
			}
		case *policyv1.PodDisruptionBudget:
			meets(at, is.Spec.Selector.MatchLabels)
		case *networkingv1.NetworkPolicy:
			meets(at, is.Spec.PodSelector.MatchLabels)
			checkPeers(at, is, meets)
		case *autoscalingv2.HorizontalPodAutoscaler:
			target(at, is.Spec.ScaleTargetRef.Name)
		case *networkingv1.Ingress:
			for _, rule := range is.Spec.Rules {
				for _, path := range rule.HTTP.Paths {
					if !seen["Service "+path.Backend.Service.Name] {
						say("%s: there is no Service %s", at, path.Backend.Service.Name)
					}
				}
			}
		case *scaledObject:
			target(at, is.Spec.ScaleTargetRef.Name)
			for _, t := range is.Spec.Triggers {
				if name := t.AuthenticationRef.Name; name != "" && !seen["TriggerAuthentication "+name] {
					say("%s: there is no TriggerAuthentication %s", at, name)
				}
			}
		case *triggerAuthentication:
			for _, ref := range is.Spec.SecretTargetRef {
				secret(at, ref.Name, ref.Key)
			}
		case *components.Component:
			for _, app := range is.Scopes {
				target(at+": scopes", app)
			}
		case *configuration.Configuration:
			checkCallers(at, is, target, say)
		}
	}
	for _, p := range pods {
		if p.runs && !slices.ContainsFunc(list, func(o object) bool {
			is, ok := o.Is.(*networkingv1.NetworkPolicy)
			return ok && is.Spec.PodSelector.MatchLabels["app.kubernetes.io/name"] == p.name
		}) {
			say("%s: no NetworkPolicy says who may reach it", p.owner)
		}
	}
	checkDeployments(list, pods, say)
	slices.Sort(wrong)
	return wrong
}

// checkDeployments: what is run in numbers is spread, and at most one pod of it is away for a machine's sake; where pods
// share the connections of a server, one at a time ends; and of every pod somebody says where it may go.
func checkDeployments(list []object, pods []pod, say func(string, ...any)) {
	several := map[string]bool{}
	for _, o := range list {
		switch is := o.Is.(type) {
		case *autoscalingv2.HorizontalPodAutoscaler:
			several[is.Spec.ScaleTargetRef.Name] = is.Spec.MaxReplicas > 1
		case *scaledObject:
			several[is.Spec.ScaleTargetRef.Name] = is.Spec.MaxReplicaCount > 1
		}
	}
	for _, p := range pods {
		meets := func(selector *metav1.LabelSelector) bool {
			return selector != nil && labels.SelectorFromSet(selector.MatchLabels).Matches(labels.Set(p.is.Labels))
		}
		budget, egress := false, false
		var deployment *appsv1.Deployment
		for _, o := range list {
			switch is := o.Is.(type) {
			case *policyv1.PodDisruptionBudget:
				budget = budget || meets(is.Spec.Selector)
			case *networkingv1.NetworkPolicy:
				egress = egress || slices.Contains(is.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) && meets(&is.Spec.PodSelector)
			case *appsv1.Deployment:
				if o.Kind+" "+o.Name == p.owner {
					deployment = is
				}
			}
		}
		if !egress {
			say("%s: no NetworkPolicy says where it may go", p.owner)
		}
		if deployment == nil || p.is.Labels["app.kubernetes.io/component"] == "server" { // for a laptop, one of each
			continue
		}
		if !budget {
			say("%s: no PodDisruptionBudget", p.owner)
		}
		spread := p.is.Spec.TopologySpreadConstraints
		others := func(c corev1.TopologySpreadConstraint) bool { return !meets(c.LabelSelector) }
		if len(spread) == 0 || slices.ContainsFunc(spread, others) {
			say("%s is not spread over machines and zones", p.owner)
		}
		if replicas := deployment.Spec.Replicas; !pools(p) || !several[deployment.Name] && (replicas == nil || *replicas < 2) {
			continue
		}
		if int64(deployment.Spec.MinReadySeconds) < grace(p) {
			say("%s: two at once may end, and keep their connections", p.owner)
		}
		rolling := deployment.Spec.Strategy.RollingUpdate
		if rolling == nil || rolling.MaxSurge == nil || *rolling.MaxSurge != intstr.FromInt32(1) ||
			rolling.MaxUnavailable == nil || *rolling.MaxUnavailable != intstr.FromInt32(0) {
			say("%s: not one by one", p.owner)
		}
	}
}

// pools reports whether a container of the pod has connections to PostgreSQL.
func pools(p pod) bool {
	return slices.ContainsFunc(p.is.Spec.Containers, func(c corev1.Container) bool {
		return slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return strings.HasSuffix(e.Name, "_DATABASE_URL") })
	})
}

// grace is how long after it was told to stop a pod is killed, in seconds.
func grace(p pod) int64 {
	if s := p.is.Spec.TerminationGracePeriodSeconds; s != nil {
		return *s
	}
	return corev1.DefaultTerminationGracePeriodSeconds
}

func checkPeers(at string, is *networkingv1.NetworkPolicy, meets func(string, map[string]string) []pod) {
	for _, rule := range is.Spec.Ingress {
		for _, peer := range rule.From {
			if peer.PodSelector != nil {
				meets(at+": from", peer.PodSelector.MatchLabels)
			}
		}
	}
}

// checkCallers: who may call an app is an app of this namespace.
func checkCallers(at string, is *configuration.Configuration, target func(at, name string), say func(string, ...any)) {
	if is.Spec.AccessControlSpec == nil || is.Spec.AccessControlSpec.DefaultAction != "deny" {
		say("%s: lets everybody in", at)
		return
	}
	for _, policy := range is.Spec.AccessControlSpec.AppPolicies {
		target(at, policy.AppName)
		if policy.Namespace != namespace {
			say("%s: %s of the namespace %s", at, policy.AppName, policy.Namespace)
		}
	}
}

// listens reports whether a container of the pod has this port.
func listens(p pod, port intstr.IntOrString) bool {
	for _, c := range p.is.Spec.Containers {
		for _, have := range c.Ports {
			if port.Type == intstr.String && have.Name == port.StrVal || port.Type == intstr.Int && have.ContainerPort == port.IntVal {
				return true
			}
		}
	}
	return false
}

// known are the annotations that Dapr's injector reads.
var known = func() map[string]bool {
	names := map[string]bool{}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[patcher.SidecarConfig]()) {
		if name := field.Tag.Get("annotation"); name != "" {
			names[name] = true
		}
	}
	return names
}()

// podsOf makes a pod of every template; those that ask for it get a sidecar by the injector's own code, set as README.md
// has Dapr installed.
func podsOf(list []object) (pods []pod, errs []error) {
	for _, o := range list {
		p := pod{owner: o.Kind + " " + o.Name, runs: true}
		var template corev1.PodTemplateSpec
		var selector *metav1.LabelSelector
		switch is := o.Is.(type) {
		case *appsv1.Deployment:
			template, selector = is.Spec.Template, is.Spec.Selector
		case *appsv1.StatefulSet:
			template, selector = is.Spec.Template, is.Spec.Selector
			for _, claim := range is.Spec.VolumeClaimTemplates {
				p.claims = append(p.claims, claim.Name)
			}
		case *batchv1.Job:
			template, p.runs = is.Spec.Template, false
		default:
			continue
		}
		if selector != nil && !labels.SelectorFromSet(selector.MatchLabels).Matches(labels.Set(template.Labels)) {
			errs = append(errs, fmt.Errorf("%s does not select its own pods", p.owner))
		}
		p.name, p.annotated = template.Labels["app.kubernetes.io/name"], template.Annotations
		p.is = &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
		if p.annotated["dapr.io/enabled"] == "true" {
			var err error
			if p.is, err = inject(p.is); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", p.owner, err))
				continue
			}
		}
		pods = append(pods, p)
	}
	return pods, errs
}

func inject(p *corev1.Pod) (*corev1.Pod, error) {
	for name := range p.Annotations {
		if strings.HasPrefix(name, "dapr.io/") && !known[name] {
			return nil, fmt.Errorf("Dapr knows no annotation %s", name)
		}
	}
	sidecar := patcher.NewSidecarConfig(p)
	sidecar.Namespace, sidecar.MTLSEnabled = namespace, true
	sidecar.RunAsNonRoot, sidecar.ReadOnlyRootFilesystem, sidecar.SidecarDropALLCapabilities = true, true, true
	sidecar.SetFromPodAnnotations()
	patch, err := sidecar.GetPatch()
	if err != nil {
		return nil, err
	}
	return patcher.PatchPod(p, patch)
}

var pinned = regexp.MustCompile(`^[^:@]+(:[0-9]+/[^:@]+)?:[A-Za-z0-9_][A-Za-z0-9._-]*$`)

// checkPod: nobody is root, writes into an image or has more rights than it needs; everything is bounded and asked whether
// it is well.
func checkPod(p pod, say func(string, ...any)) {
	spec := p.is.Spec
	context := spec.SecurityContext
	if context == nil || context.RunAsNonRoot == nil || !*context.RunAsNonRoot || context.RunAsUser == nil || *context.RunAsUser == 0 {
		say("%s may be root", p.owner)
	}
	if context == nil || context.SeccompProfile == nil || context.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		say("%s: seccomp", p.owner)
	}
	if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
		say("%s has an account's token", p.owner)
	}
	if spec.EnableServiceLinks == nil || *spec.EnableServiceLinks {
		say("%s: service links fill its environment", p.owner)
	}
	if spec.HostNetwork || spec.HostPID || spec.HostIPC {
		say("%s shares the host's namespaces", p.owner)
	}
	volumes := map[string]bool{}
	for _, v := range spec.Volumes {
		volumes[v.Name] = true
		if v.HostPath != nil {
			say("%s: a path of the host", p.owner)
		}
		if v.EmptyDir != nil && v.EmptyDir.SizeLimit == nil {
			say("%s: the volume %s has no bound", p.owner, v.Name)
		}
	}
	for _, name := range p.claims {
		volumes[name] = true
	}
	if asked := p.annotated["dapr.io/volume-mounts-rw"]; asked != "" {
		for mount := range strings.SplitSeq(asked, ",") {
			if name, _, _ := strings.Cut(mount, ":"); !volumes[name] {
				say("%s: the sidecar has no volume %s", p.owner, name)
			}
		}
	}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		at := p.owner + ": " + c.Name
		s := c.SecurityContext
		switch {
		case s == nil:
			say("%s: no security context", at)
		case s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.Privileged != nil && *s.Privileged:
			say("%s may gain privileges", at)
		case s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem:
			say("%s writes into its image", at)
		case s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0:
			say("%s has capabilities", at)
		case s.RunAsUser != nil && *s.RunAsUser == 0 || s.RunAsNonRoot != nil && !*s.RunAsNonRoot:
			say("%s may be root", at)
		}
		for _, resource := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			request, limit := c.Resources.Requests[resource], c.Resources.Limits[resource]
			if request.IsZero() || limit.IsZero() || request.Cmp(limit) > 0 {
				say("%s: %s is not bounded, or asks for more than it may have", at, resource)
			}
		}
		if !pinned.MatchString(c.Image) || strings.HasSuffix(c.Image, ":latest") {
			say("%s: the image %s has no version", at, c.Image)
		}
		for _, mount := range c.VolumeMounts {
			if !volumes[mount.Name] {
				say("%s: there is no volume %s", at, mount.Name)
			}
		}
		names := map[string]bool{}
		for _, env := range c.Env {
			if names[env.Name] {
				say("%s: %s is there twice", at, env.Name)
			}
			names[env.Name] = true
		}
		// What stands beside a sidecar that is alone does nothing.
		idle := c.Name == "none" && p.annotated["dapr.io/app-port"] == ""
		if p.runs && !idle && (c.ReadinessProbe == nil || c.LivenessProbe == nil || c.StartupProbe == nil && c.Name != "daprd") {
			say("%s is not asked whether it is well", at)
		}
	}
	checkEnd(p, say)
}

// work is how long what an app has in hand may take when it is told to stop, in seconds (kit/serve).
const work = 15

// checkEnd: nobody is killed over what is in hand, and while an app ends its sidecar is there.
func checkEnd(p pod, say func(string, ...any)) {
	leave := int64(0) // until the container is told to stop
	for _, c := range p.is.Spec.Containers {
		if c.Lifecycle != nil && c.Lifecycle.PreStop != nil && c.Lifecycle.PreStop.Sleep != nil {
			leave = max(leave, c.Lifecycle.PreStop.Sleep.Seconds)
		}
	}
	if grace(p) < leave+work {
		say("%s is killed before what is in hand has an end", p.owner)
	}
	if p.annotated["dapr.io/enabled"] != "true" {
		return
	}
	block, err := time.ParseDuration(p.annotated["dapr.io/block-shutdown-duration"])
	last, err2 := strconv.ParseInt(p.annotated["dapr.io/graceful-shutdown-seconds"], 10, 64)
	switch {
	case err != nil || err2 != nil || int64(block.Seconds()) < leave+work:
		say("%s: its sidecar ends before its app may have", p.owner)
	case grace(p) <= int64(block.Seconds())+last:
		say("%s is killed before its sidecar has ended", p.owner)
	}
}
