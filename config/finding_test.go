package config_test

import (
	"fmt"
	"strings"
	"testing"

	"poold/config"
)

// found is a configuration in which things are found, with an anchor, a merge
// and the environment.
const found = `labels: [{name: small}]
base: &base
  name: main
  networks: [inside]
  max-servers: 5
providers:
- name: other
  driver: aws
- name: %(NODEPOOL_REGION)
  cloud: c
  pools:
  - <<: *base
    labels:
    - {name: small, cloud-image: noble, flavor-name: "%(NODEPOOL_PASSWORD)"}
  cloud-images: [{name: noble}]
`

func TestFindingsAreWhereTheyWereConfigured(t *testing.T) {
	label := []string{"providers", "north", "pools", "main", "labels", "small"}
	at := func(path []string, more ...string) [][]string {
		return [][]string{append(append([]string{}, path...), more...)}
	}
	for _, c := range []struct {
		finding config.Finding
		want    string
	}{
		{
			config.Finding{Paths: at(label, "cloud-image"), Problem: "no {name}", Name: "noble", Known: []string{"nobel", "jammy"}},
			`f:14:34: providers[1].pools[0].labels[0].cloud-image: no "noble" (did you mean "nobel"?)`,
		},
		{
			// The label has none of its own: those of the pool are meant.
			config.Finding{
				Paths:   append(at(label, "networks", "inside"), at(label[:4], "networks", "inside")...),
				Problem: "no {name}", Name: "inside", Known: []string{"private", "public"},
			},
			`f:4:14: providers[1].pools[0].networks[0]: no "inside" (there is private, public)`,
		},
		{
			// What is not there is said of what it would be in.
			config.Finding{Paths: at(label, "key-name"), Problem: "none"},
			`f:14:7: providers[1].pools[0].labels[0]: none`,
		},
		{
			// What came out of the environment is not shown.
			config.Finding{Paths: at(label, "flavor-name"), Problem: "no {name}", Name: "hunter2"},
			`f:14:54: providers[1].pools[0].labels[0].flavor-name: no <secret>`,
		},
		{
			config.Finding{Paths: at([]string{"providers", "none", "cloud"}), Problem: "none"},
			`f:7:1: providers: none`,
		},
	} {
		_, err := config.Place(config.Input{Main: config.Source{Name: "f", Data: []byte(found)}, Env: env}, []config.Finding{c.finding})
		if text := fmt.Sprint(err); !strings.HasPrefix(text, c.want) || strings.Contains(text, "hunter2") {
			t.Errorf("%v:\n got %s\nwant %s", c.finding.Paths, text, c.want)
		}
	}
}

// All are told at once, in the order of the file, each once, and notes apart.
func TestFindingsAreSorted(t *testing.T) {
	find := func(note bool, path ...string) config.Finding {
		return config.Finding{Paths: [][]string{path}, Problem: "bad", Note: note}
	}
	notes, err := config.Place(config.Input{Main: config.Source{Name: "f", Data: []byte(found)}, Env: env}, []config.Finding{
		find(false, "providers", "north"), find(true, "providers", "other"), find(false, "labels"), find(false, "labels"),
	})
	if want := "f:1:9: labels: bad\nf:9:3: providers[1]: bad"; fmt.Sprint(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if len(notes) != 1 || notes[0].String() != "f:7:3: providers[0]: bad" {
		t.Errorf("the notes are %v", notes)
	}
	if notes, err := config.Place(config.Input{}, nil); notes != nil || err != nil {
		t.Errorf("nothing was found: %v, %v", notes, err)
	}
}
