package helm

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	components "github.com/dapr/dapr/pkg/apis/components/v1alpha1"
	configuration "github.com/dapr/dapr/pkg/apis/configuration/v1alpha1"
	resiliency "github.com/dapr/dapr/pkg/apis/resiliency/v1alpha1"
	"github.com/stretchr/testify/require"
	"github.com/xeipuuv/gojsonschema"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

const folder, namespace = "../../deploy/helm", "shop"

// values reads files of the chart, each laid over those before it, and over all of them the text of one more.
func values(t *testing.T, more string, files ...string) map[string]any {
	t.Helper()
	all, err := chartutil.ReadValues([]byte(more))
	require.NoError(t, err)
	for i := len(files) - 1; i >= 0; i-- {
		next, err := chartutil.ReadValuesFile(filepath.Join(folder, files[i]))
		require.NoError(t, err)
		all = chartutil.CoalesceTables(all, next)
	}
	return all
}

// render gives the manifests that `helm install` would send, by the name of their template.
func render(dir string, values map[string]any, cluster engine.ClientProvider) (map[string]string, error) {
	chart, err := loader.LoadDir(dir)
	if err != nil {
		return nil, err
	}
	release := chartutil.ReleaseOptions{Name: "stampede", Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(chart, values, release, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	if cluster != nil {
		return engine.RenderWithClientProvider(chart, all, cluster)
	}
	return engine.Render(chart, all)
}

// object is one manifest: what it is, and its own type, filled in.
type object struct {
	metav1.TypeMeta
	Name string
	Is   any
}

// kinds are the types of what the chart may hold.
var kinds = map[string]func() any{
	"v1/ConfigMap":                           func() any { return &corev1.ConfigMap{} },
	"v1/PersistentVolumeClaim":               func() any { return &corev1.PersistentVolumeClaim{} },
	"v1/Secret":                              func() any { return &corev1.Secret{} },
	"v1/Service":                             func() any { return &corev1.Service{} },
	"apps/v1/Deployment":                     func() any { return &appsv1.Deployment{} },
	"apps/v1/StatefulSet":                    func() any { return &appsv1.StatefulSet{} },
	"batch/v1/Job":                           func() any { return &batchv1.Job{} },
	"policy/v1/PodDisruptionBudget":          func() any { return &policyv1.PodDisruptionBudget{} },
	"autoscaling/v2/HorizontalPodAutoscaler": func() any { return &autoscalingv2.HorizontalPodAutoscaler{} },
	"networking.k8s.io/v1/NetworkPolicy":     func() any { return &networkingv1.NetworkPolicy{} },
	"networking.k8s.io/v1/Ingress":           func() any { return &networkingv1.Ingress{} },
	"dapr.io/v1alpha1/Component":             func() any { return &components.Component{} },
	"dapr.io/v1alpha1/Configuration":         func() any { return &configuration.Configuration{} },
	"dapr.io/v1alpha1/Resiliency":            func() any { return &resiliency.Resiliency{} },
	"keda.sh/v1alpha1/ScaledObject":          func() any { return &scaledObject{} },
	"keda.sh/v1alpha1/TriggerAuthentication": func() any { return &triggerAuthentication{} },
}

// decode reads the manifests strictly: a field that a type does not have, or one that is there twice, is an error.
func decode(manifests map[string]string) (list []object, err error) {
	for file, text := range manifests {
		if strings.HasSuffix(file, "NOTES.txt") {
			continue
		}
		reader := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
		for {
			document, err := reader.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			o, err := decodeOne(document)
			if err != nil {
				return nil, fmt.Errorf("%s: %w in\n%s", file, err, document)
			}
			if o.Is != nil {
				list = append(list, o)
			}
		}
	}
	return list, nil
}

func decodeOne(document []byte) (object, error) {
	text, err := yaml.YAMLToJSONStrict(document)
	if err != nil || bytes.Equal(text, []byte("null")) {
		return object{}, err
	}
	var head struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return object{}, err
	}
	o := object{TypeMeta: head.TypeMeta, Name: head.Metadata.Name}
	made, ok := kinds[head.APIVersion+"/"+head.Kind]
	if !ok {
		return object{}, fmt.Errorf("no type for a %s of %s", head.Kind, head.APIVersion)
	}
	o.Is = made()
	strict, err := kjson.UnmarshalStrict(text, o.Is)
	if err := errors.Join(append(strict, err)...); err != nil {
		return object{}, err
	}
	if definition := definitions[head.Kind]; definition != nil {
		result, err := definition.Validate(gojsonschema.NewBytesLoader(text))
		if err != nil {
			return object{}, err
		}
		for _, e := range result.Errors() {
			err = errors.Join(err, errors.New(e.String()))
		}
		return o, err
	}
	return o, nil
}

// scaledObject and triggerAuthentication are what the rules ask of KEDA's; their form is held to its definitions.
type scaledObject struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		ScaleTargetRef struct {
			Name string `json:"name"`
		} `json:"scaleTargetRef"`
		MinReplicaCount int `json:"minReplicaCount"`
		MaxReplicaCount int `json:"maxReplicaCount"`
		Triggers        []struct {
			Type              string            `json:"type"`
			MetricType        string            `json:"metricType"`
			Metadata          map[string]string `json:"metadata"`
			AuthenticationRef struct {
				Name string `json:"name"`
			} `json:"authenticationRef"`
		} `json:"triggers"`
	} `json:"spec"`
}

type triggerAuthentication struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		SecretTargetRef []struct {
			Parameter string `json:"parameter"`
			Name      string `json:"name"`
			Key       string `json:"key"`
		} `json:"secretTargetRef"`
	} `json:"spec"`
}

// definitions are KEDA's, and Dapr's out of its module (what is required stands in no Go type), by kind, with nothing allowed
// that they do not name.
var definitions = func() map[string]*gojsonschema.Schema {
	all := map[string]*gojsonschema.Schema{}
	dapr, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/dapr/dapr").Output()
	if err != nil {
		panic(err)
	}
	var files []string
	for _, dir := range []string{"keda", filepath.Join(strings.TrimSpace(string(dapr)), "charts", "dapr", "crds")} {
		found, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
		if err != nil || len(found) == 0 {
			panic("no definitions in " + dir)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			panic(err)
		}
		var crd struct {
			Spec struct {
				Names struct {
					Kind string `json:"kind"`
				} `json:"names"`
				Versions []struct {
					Schema struct {
						V3 map[string]any `json:"openAPIV3Schema"`
					} `json:"schema"`
				} `json:"versions"`
			} `json:"spec"`
		}
		if err := yaml.Unmarshal(text, &crd); err != nil {
			panic(err)
		}
		schema := crd.Spec.Versions[0].Schema.V3
		closed(schema)
		schema["properties"].(map[string]any)["metadata"] = map[string]any{"type": "object"}
		if all[crd.Spec.Names.Kind], err = gojsonschema.NewSchema(gojsonschema.NewGoLoader(schema)); err != nil {
			panic(err)
		}
	}
	return all
}()

// closed refuses in a schema, and in all below it, what it has no name for.
func closed(schema map[string]any) {
	if schema["properties"] != nil && schema["x-kubernetes-preserve-unknown-fields"] == nil {
		schema["additionalProperties"] = false
	}
	for _, below := range schema {
		switch below := below.(type) {
		case map[string]any:
			closed(below)
		case []any:
			for _, b := range below {
				if b, ok := b.(map[string]any); ok {
					closed(b)
				}
			}
		}
	}
}
