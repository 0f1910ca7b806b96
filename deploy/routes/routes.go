// Package routes reads deploy/routes.yaml, the one list of what the gateways
// let in and the faces ask. The file says what the fields mean.
package routes

import (
	"fmt"

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
	Body    string   `yaml:"body"`
	Page    bool     `yaml:"page"`
}

// Parse reads the text of the file; a field that it does not know is an error.
func Parse(text []byte) (List, error) {
	var list List
	if err := yaml.UnmarshalWithOptions(text, &list, yaml.Strict()); err != nil {
		return List{}, fmt.Errorf("routes.yaml: %w", err)
	}
	return list, nil
}
