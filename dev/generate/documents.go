package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"strings"
)

// documents writes each service's OpenAPI document and the shop's, which is
// what the edge lets in of all of them. Faces have none.
func (s *shop) documents(g *generated) error {
	paths, schemas, responses := map[string]any{}, map[string]any{}, map[string]any{}
	var security any
	for _, a := range s.services() {
		if a.face() {
			continue
		}
		own, err := indent(a.text, "x-settings") // a matter of the process, not of its API
		if err != nil {
			return fmt.Errorf("%s: %w", a.ID, err)
		}
		g.put(path.Join("apps", a.ID, "openapi.json"), own)
		// In the shop's document the services' types keep apart.
		text := strings.ReplaceAll(string(a.text), `"#/components/schemas/`, `"#/components/schemas/`+a.ID+".")
		text = strings.ReplaceAll(text, "#/components/schemas/"+a.ID+".Problem\"", "#/components/schemas/Problem\"")
		var doc struct {
			Components struct {
				Schemas   map[string]any `json:"schemas"`
				Responses map[string]any `json:"responses"`
				Security  any            `json:"securitySchemes"`
			} `json:"components"`
			Paths map[string]map[string]map[string]any `json:"paths"`
		}
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			return fmt.Errorf("%s: %w", a.ID, err)
		}
		for name, schema := range doc.Components.Schemas {
			if name != "Problem" {
				name = a.ID + "." + name
			}
			schemas[name] = schema
		}
		maps.Copy(responses, doc.Components.Responses) // the same in every service
		security = doc.Components.Security
		for path, operations := range doc.Paths {
			maps.DeleteFunc(operations, func(_ string, o map[string]any) bool { return o["x-neighbours"] != nil })
			for _, o := range operations {
				o["tags"] = []string{a.ID}
			}
			if len(operations) > 0 {
				paths[path] = operations
			}
		}
	}
	shown := map[string]any{}
	if err := collect(shown, schemas, map[string]any{"paths": paths, "responses": responses}); err != nil {
		return err
	}
	raw, err := json.Marshal(map[string]any{
		"openapi":    "3.1.0",
		"info":       map[string]any{"title": "Stampede", "version": "1", "description": "Every service of the shop. Log in with /api/v1/auth/login and use the access token."},
		"components": map[string]any{"schemas": shown, "responses": responses, "securitySchemes": security},
		"paths":      paths,
	})
	if err != nil {
		return err
	}
	text, err := indent(raw, "")
	g.put("docs/openapi.json", text)
	return err
}

var reference = regexp.MustCompile(`"#/components/schemas/([^"]+)"`)

// collect copies those schemas that v refers to, and those that they do: what
// only neighbours tell each other is left out with their operations.
func collect(into, schemas map[string]any, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	for _, found := range reference.FindAllSubmatch(text, -1) {
		name := string(found[1])
		if _, ok := into[name]; ok {
			continue
		}
		into[name] = schemas[name]
		if err := collect(into, schemas, schemas[name]); err != nil {
			return err
		}
	}
	return nil
}

// indent writes JSON so that lines can be compared: members in order, one a
// line. It leaves one member out.
func indent(raw []byte, without string) (string, error) {
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		return "", err
	}
	delete(doc, without)
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	err := e.Encode(doc)
	return out.String(), err
}
