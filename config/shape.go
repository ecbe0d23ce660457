package config

// shape is a part of the JSON schema for editors: what the value of a key may
// be.
type shape map[string]any

func stringShape() shape { return shape{"type": "string"} }

// anyScalar is the shape of what is taken as it is written.
func anyScalar() shape { return shape{"type": []string{"string", "number", "boolean"}} }

// booleanShape takes the words that are booleans in YAML 1.1 and strings in
// YAML 1.2, which editors read.
func booleanShape() shape {
	return shape{
		"type":    []string{"boolean", "string"},
		"pattern": "^(yes|Yes|YES|on|On|ON|no|No|NO|off|Off|OFF)$",
	}
}

func integerShape(least, most int64) shape {
	return shape{"type": "integer", "minimum": least, "maximum": most}
}

func clockShape() shape {
	return shape{"type": "string", "pattern": "^(([01]?[0-9]|2[0-3]):[0-5][0-9]|24:00)$"}
}

func listShape(item shape) shape {
	return shape{"type": "array", "items": item}
}
