package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"poold/pool"
)

// schema is the JSON schema of the main file, for editors: which keys there
// are and what they take, but not what refers to what.
func schema() ([]byte, error) {
	main := documentKeys()
	all := main.section().schema()
	all["$schema"] = "http://json-schema.org/draft-07/schema#"
	all["title"] = "nodepool.yaml of poold"
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the schema: %w", err)
	}
	return append(text, '\n'), nil
}

// schema is the shape of a mapping.
func (s *section) schema() shape {
	own := s.ownSchema()
	if s.other != nil {
		own = shape{"if": driverShape(pool.DriverStatic), "then": s.other.schema(), "else": own}
	}
	if s.aside {
		own = shape{"if": driverShape(otherDrivers()...), "then": s.asideSchema(), "else": own}
	}
	return own
}

// ownSchema is the shape of a mapping that is of no other kind.
func (s *section) ownSchema() shape {
	keys, required := shape{}, []string{}
	for _, k := range s.keys {
		switch k.status {
		case meant:
			keys[k.name] = k.schema()
		case ignored:
			keys[k.name] = shape{"description": "Without effect: " + k.text + ".", "deprecated": true}
		case refused:
		}
		if k.required {
			required = append(required, k.name)
		}
	}
	all := shape{"type": "object", "properties": keys, "additionalProperties": false}
	if s.about != "" {
		all["description"] = s.about
	}
	if len(required) > 0 {
		all["required"] = required
	}
	if s.foreign != nil {
		all["patternProperties"] = shape{s.foreign.String(): true}
	}
	return all
}

// schema is the shape of the value of a key. One without a value is as good as
// none, if it is not required.
func (k *keyDoc) schema() shape {
	value := shape{}
	switch {
	case k.sub == nil:
		maps.Copy(value, k.shape)
	case k.kind == "list":
		value = listShape(k.sub.schema())
	default:
		value = k.sub.schema()
	}
	if !k.required {
		value = shape{"anyOf": []shape{value, {"type": "null"}}}
	}
	value["description"] = k.text
	return value
}

// asideSchema is the shape of a mapping that belongs to somebody else.
func (s *section) asideSchema() shape {
	keys, required := shape{}, []string{}
	for _, k := range s.keys {
		if !k.always {
			continue
		}
		keys[k.name] = k.schema()
		if k.required {
			required = append(required, k.name)
		}
	}
	return shape{"type": "object", "properties": keys, "required": required}
}

// driverShape is the shape of a mapping whose driver is one of a few.
func driverShape(names ...string) shape {
	return shape{"properties": shape{"driver": shape{"enum": names}}, "required": []string{"driver"}}
}

// otherDrivers are those whose providers are set aside.
func otherDrivers() []string {
	return slices.DeleteFunc(drivers(), func(d string) bool { return d == pool.DriverOpenStack || d == pool.DriverStatic })
}
