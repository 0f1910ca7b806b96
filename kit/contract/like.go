package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Like makes of what a test cares about a whole answer of an operation when it
// succeeds: what is missing, or empty where that cannot be, is made up.
func (d *Document) Like(method, template string, partial any) (json.RawMessage, error) {
	schema, err := d.success(method, template)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(partial)
	if err != nil {
		return nil, fmt.Errorf("like %s %s: %w", method, template, err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("like %s %s: %w", method, template, err)
	}
	return json.Marshal(d.complete(schema, value))
}

// success is the schema of the JSON that an operation answers when it succeeds.
func (d *Document) success(method, template string) (map[string]any, error) {
	i := slices.IndexFunc(d.operations, func(o operation) bool { return o.method == method && o.template == template })
	if i < 0 {
		return nil, fmt.Errorf("%s has no operation %s %s", d.name, method, template)
	}
	for status, r := range object(d.operations[i].spec["responses"]) {
		media, ok := object(object(r)["content"])["application/json"].(map[string]any)
		if strings.HasPrefix(status, "2") && ok {
			return object(media["schema"]), nil
		}
	}
	return nil, fmt.Errorf("%s: %s %s answers no JSON", d.name, method, template)
}

// follow is a schema, or that to which it refers.
func (d *Document) follow(schema map[string]any) map[string]any {
	for schema["$ref"] != nil {
		schema = object(d.at(strings.TrimPrefix(schema["$ref"].(string), "#")))
	}
	return schema
}

// complete is a value with all that its schema demands.
func (d *Document) complete(schema map[string]any, value any) any {
	schema = d.follow(schema)
	all, _ := schema["type"].([]any)
	nullable := slices.Contains(all, any("null"))
	allowed, _ := schema["enum"].([]any)
	if text, ok := value.(string); ok && text == "" && madeUp(schema) != "" {
		value = nil // left empty
	}
	kinds := types(schema)
	if len(kinds) == 0 || (value == nil && nullable) {
		return value
	}
	if value == nil && len(allowed) > 0 {
		return allowed[0]
	}
	switch kinds[0] {
	case "object":
		members, ok := value.(map[string]any)
		if !ok {
			members = map[string]any{}
		}
		properties := object(schema["properties"])
		required, _ := schema["required"].([]any)
		for name, property := range properties {
			if _, has := members[name]; has || slices.Contains(required, any(name)) {
				members[name] = d.complete(object(property), members[name])
			}
		}
		return members
	case "array":
		items, ok := value.([]any)
		if !ok {
			return []any{}
		}
		for i := range items {
			items[i] = d.complete(object(schema["items"]), items[i])
		}
		return items
	}
	if value != nil {
		return value
	}
	switch {
	case kinds[0] == "boolean":
		return false
	case kinds[0] != "string":
		if least, ok := schema["minimum"]; ok {
			return least
		}
		return 0
	}
	return madeUp(schema)
}

// madeUp is a text that a schema takes, the empty one if it does.
func madeUp(schema map[string]any) string {
	if allowed, _ := schema["enum"].([]any); len(allowed) > 0 && !slices.Contains(allowed, any("")) {
		return fmt.Sprint(allowed[0])
	}
	switch schema["format"] {
	case "date-time":
		return "2026-01-02T03:04:05Z"
	case "uuid":
		return "00000000-0000-0000-0000-000000000000"
	}
	least := 0
	if n, ok := schema["minLength"].(json.Number); ok {
		least, _ = strconv.Atoi(n.String())
	}
	pattern, _ := schema["pattern"].(string)
	for n := least; n < least+4; n++ {
		text := strings.Repeat("X", n)
		if fits, err := regexp.MatchString(pattern, text); fits && err == nil {
			return text
		}
	}
	return ""
}
