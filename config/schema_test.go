package config

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"poold/internal/golden"
)

const schemaFile = "../docs/nodepool.schema.json"

// TestSchema checks that the schema is that of the tables.
func TestSchema(t *testing.T) {
	text, err := schema()
	if err != nil {
		t.Fatal(err)
	}
	golden.Equal(t, schemaFile, string(text))
}

// TestSchemaTakesExamples checks that the schema takes what loads.
func TestSchemaTakesExamples(t *testing.T) {
	schema := compiled(t)
	taken := 0
	for _, e := range examples(t) {
		if _, broken := syntaxOf(e.data); broken {
			// A key without a value that is there again: editors mark it.
			continue
		}
		taken++
		if err := schema.Validate(asJSON(t, e.data)); err != nil {
			t.Errorf("%s: %v", e.name, err)
		}
	}
	if taken < 10 {
		t.Errorf("only %d files", taken)
	}
}

// TestSchemaRefuses checks that the schema refuses what an editor can know to
// be wrong: of the mutants those that are about one key and its value.
func TestSchemaRefuses(t *testing.T) {
	schema := compiled(t)
	seen := map[string]int{}
	for _, e := range ownExamples(t) {
		for kind, m := range mutantsOf(t, e) {
			switch kind {
			case "typo in a key", "key of elsewhere", "required key missing", "wrong type", "item of wrong type", "empty item",
				"out of bounds", "not one of a few", "deep", "cut in brackets":
			default:
				continue
			}
			if _, broken := syntaxOf(m.text); broken {
				continue
			}
			seen[kind]++
			if schema.Validate(asJSON(t, m.text)) == nil {
				t.Errorf("%s: %s: the schema takes it:\n%s", e.name, kind, around(m))
			}
		}
	}
	if len(seen) < 9 {
		t.Errorf("only mistakes of these kinds: %v", seen)
	}
}

// TestSchemaKinds checks what the schema makes of each kind of provider.
func TestSchemaKinds(t *testing.T) {
	schema := compiled(t)
	for text, right := range map[string]bool{
		"providers: [{name: a, cloud: c, pools: []}]":                              true,
		"providers: [{name: a, driver: openstack}]":                                false,
		"providers: [{name: a, driver: static, pools: []}]":                        true,
		"providers: [{name: a, driver: static, cloud: c}]":                         false,
		"providers: [{name: a, driver: aws, whatever: {x: 1}}]":                    true,
		"providers: [{driver: aws, whatever: {x: 1}}]":                             false,
		"providers: [{name: a, driver: nobody}]":                                   false,
		"tenant-resource-limits: [{tenant-name: t, L-1216C47A: 2}]":                true,
		"tenant-resource-limits: [{tenant-name: t, L-x: 2}]":                       false,
		"webapp: {event-age: 90s}\nname:\nzookeeper-servers: [{host: x}]":          true,
		"webapp: {event-age: soon}":                                                false,
		"labels: [{name: }]":                                                       false,
		"labels: [{name: a, min-ready-schedule: [{from: '25:00', min-ready: 1}]}]": false,
		"targets: []": false,
	} {
		if err := schema.Validate(asJSON(t, []byte(text))); (err == nil) != right {
			t.Errorf("%s: got %v", text, err)
		}
		_, _, err := Parse(Input{Main: Source{Name: "f", Data: []byte(text)}})
		if (err == nil) != right {
			t.Errorf("%s: poold has it otherwise: %v", text, err)
		}
	}
}

func syntaxOf(text []byte) (any, bool) {
	var v any
	err := yaml.Unmarshal(text, &v)
	return v, err != nil
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("nodepool.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("nodepool.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// asJSON is a YAML file as an editor sees it.
func asJSON(t *testing.T, text []byte) any {
	t.Helper()
	v, broken := syntaxOf(text)
	if broken {
		t.Fatalf("not YAML: %.400s", text)
	}
	return jsonValue(v)
}

// jsonValue is a value of YAML with what JSON has not as strings.
func jsonValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, in := range v {
			v[k] = jsonValue(in)
		}
	case map[any]any:
		all := map[string]any{}
		for k, in := range v {
			all[fmt.Sprint(k)] = jsonValue(in)
		}
		return all
	case []any:
		for i, in := range v {
			v[i] = jsonValue(in)
		}
	case time.Time:
		return v.String()
	}
	return v
}
