package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// verbs in the order in which they are written.
var verbs = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}

// rule allows verbs on a path, in Dapr's words for paths: /x/** is /x and all
// below it.
type rule struct {
	Name  string
	Verbs []string
}

// accessLists writes dapr/config/<service>.yaml: who may call a service, and
// what. The edges may what deploy/routes.yaml lets in through them, the faces
// what it says that they ask, a neighbour what the operation says
// (rest.Neighbours). The first comment of such a file is kept: it is written by
// hand.
func (s *shop) accessLists(g *generated) error {
	for _, a := range s.services() {
		allowed := map[string][]rule{} // by caller
		for _, r := range s.public.Routes {
			if r.App != a.ID {
				continue
			}
			methods := r.Methods
			if slices.Contains(methods, "GET") {
				methods = append(slices.Clone(methods), "HEAD")
			}
			allowed[r.Edge] = append(allowed[r.Edge], rule{daprName(r.Path), methods})
			for face, begins := range s.public.Faces {
				if slices.ContainsFunc(begins, func(prefix string) bool { return below(r.Path, prefix) }) {
					allowed[face] = append(allowed[face], rule{daprName(r.Path), r.Methods})
				}
			}
		}
		for path, operations := range a.doc.Paths {
			for method, o := range operations {
				for _, caller := range o.Neighbours {
					c := s.find(caller)
					if c == nil || c.Edge() {
						return fmt.Errorf("%s: %s %s is for %s, which dapr/dapr.yaml does not have", a.ID, method, path, caller)
					}
					allowed[caller] = append(allowed[caller], rule{daprName(path), []string{strings.ToUpper(method)}})
				}
			}
		}
		name := filepath.ToSlash(a.ConfigFile)
		comment, err := firstComment(g, name)
		if errors.Is(err, fs.ErrNotExist) {
			comment, err = "# "+a.Summary+".\n", nil
		}
		if err != nil {
			return err
		}
		g.put(name, comment+fmt.Sprintf(configuration, a.ID, s.policies(allowed)))
	}
	return nil
}

const generatedBelow = "# Below here all is generated (make generate); what stands in every one of these files is\n# explained once, in dapr/README.md.\n"

const configuration = generatedBelow + `apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata:
  name: %s
spec:
  mtls:
    enabled: true
  nameResolution:
    component: sqlite
    version: v1
    configuration:
      connectionString: "${NAME_RESOLUTION_DB}"
      # Renewed every 10 s and believed for 15: on a busy machine a renewal may come late.
      updateInterval: 15s
      timeout: 5s
  # No value of the secret store by the API: it is there for components alone.
  secrets:
    scopes:
      - storeName: secrets
        defaultAccess: deny
  accessControl:
    defaultAction: deny
    trustDomain: public
%s  tracing:
    samplingRate: "${TRACES_RATIO}"
    zipkin:
      endpointAddress: "${OTEL_EXPORTER_ZIPKIN_ENDPOINT}"
  metric:
    http:
      increasedCardinality: false
`

// firstComment gives the lines of a configuration's first comment that are not
// generated.
func firstComment(g *generated, name string) (string, error) {
	text, err := g.text(name)
	if err != nil {
		return "", err
	}
	comment, _, found := strings.Cut(text, generatedBelow)
	if !found {
		return "", fmt.Errorf("%s does not say where its generated part begins:\n%s", name, generatedBelow)
	}
	return comment, nil
}

// policies writes the list: the edges first, then in the order of dapr.yaml.
func (s *shop) policies(allowed map[string][]rule) string {
	if len(allowed) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("    policies:\n")
	callers := slices.Clone(s.apps)
	slices.SortStableFunc(callers, func(a, b app) int { return rank(a) - rank(b) })
	for _, caller := range callers {
		rules := merge(allowed[caller.ID])
		if len(rules) == 0 {
			continue
		}
		fmt.Fprintf(&b, "      - appId: %s\n        namespace: default\n        trustDomain: public\n        defaultAction: deny\n        operations:\n", caller.ID)
		for _, r := range rules {
			fmt.Fprintf(&b, "          - name: %s\n            httpVerb: [%s]\n            action: allow\n", r.Name, strings.Join(r.Verbs, ", "))
		}
	}
	return b.String()
}

func rank(a app) int {
	switch {
	case a.Edge():
		return 0
	case a.face():
		return 1
	}
	return 2
}

// daprName turns a path of routes.yaml or of an OpenAPI document into Dapr's:
// from the first {name} on all is covered.
func daprName(path string) string {
	for _, cut := range []string{"/{", "/**"} {
		if before, _, found := strings.Cut(path, cut); found {
			path = before + "/**"
		}
	}
	return path
}

// below tells whether path is prefix or something under it.
func below(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

// merge makes one rule of those that overlap: Dapr asks the first that fits and
// no other.
func merge(rules []rule) []rule {
	slices.SortFunc(rules, func(a, b rule) int { return strings.Compare(base(a), base(b)) })
	var merged []rule
	for _, r := range rules {
		i := slices.IndexFunc(merged, func(m rule) bool { return below(base(r), base(m)) })
		if i < 0 {
			merged = append(merged, rule{Name: r.Name})
			i = len(merged) - 1
		}
		if base(r) != base(merged[i]) || strings.HasSuffix(r.Name, "/**") {
			merged[i].Name = base(merged[i]) + "/**"
		}
		merged[i].Verbs = append(merged[i].Verbs, r.Verbs...)
	}
	for i := range merged {
		merged[i].Verbs = slices.DeleteFunc(slices.Clone(verbs), func(v string) bool { return !slices.Contains(merged[i].Verbs, v) })
	}
	return merged
}

func base(r rule) string { return strings.TrimSuffix(r.Name, "/**") }
