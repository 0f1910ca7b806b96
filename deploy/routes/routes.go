// Package routes reads deploy/routes.yaml, the one list of what the gateways
// let in and the faces ask. The file says what the fields mean.
package routes

import (
	"fmt"
	"slices"

	"github.com/goccy/go-yaml"
)

// List is the file.
type List struct {
	Routes []Route             `yaml:"routes"`
	Closed []string            `yaml:"closed"`
	Faces  map[string][]string `yaml:"faces"`
}

// Route is one public path.
type Route struct {
	Path    string   `yaml:"path"`
	App     string   `yaml:"app"`
	Edge    string   `yaml:"edge"`
	Methods []string `yaml:"methods"`
	Limit   string   `yaml:"limit"`
	Work    string   `yaml:"work"`
	Body    string   `yaml:"body"`
	Ticket  bool     `yaml:"ticket"`
	Shared  bool     `yaml:"shared"`
	Page    bool     `yaml:"page"`
}

// Parse reads the text of the file; a field that it does not know is an error.
func Parse(text []byte) (List, error) {
	var list List
	if err := yaml.UnmarshalWithOptions(text, &list, yaml.Strict()); err != nil {
		return List{}, fmt.Errorf("routes.yaml: %w", err)
	}
	for _, r := range list.Routes {
		if !slices.Contains([]string{"", "browse", "login", "cart", "checkout", "drop", "wait"}, r.Work) {
			return List{}, fmt.Errorf("routes.yaml: %s: there is no work %q", r.Path, r.Work)
		}
	}
	return list, nil
}
