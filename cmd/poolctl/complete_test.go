package main

import (
	"slices"
	"strings"
	"testing"

	"poold/event"
)

// A shell asks poolctl for names by a hidden command.
func TestCompletion(t *testing.T) {
	for line, want := range map[string][]string{
		"delete ":                 {"n1", "n2", "n3", "n5"},
		"node show n2 ":           {"n1", "n3", "n5"},
		"node hold n":             {"n1", "n2", "n3", "n5"},
		"list --label ":           {"noble"},
		"node list --state ":      {"building", "deleted", "deleting", "failed", "hold", "in-use", "pending", "ready", "used"},
		"list --provider ":        {"north", "south"},
		"leak agree ":             {"north", "south"},
		"leak delete ":            {"instance/i1", "instance/i2", "keypair/k1", "floating-ip/f1"},
		"image list --state ":     {"building", "deleted", "deleting", "failed", "ready"},
		"upload retry ":           {"noble/0001/north", "noble/0001/south", "noble/0001/west"},
		"request explain zuul":    {"zuul/099", "zuul/100", "zuul/101"},
		"upload list --state ":    {"deleted", "deleting", "failed", "pending", "ready", "trial", "uploading"},
		"event list --kind ":      event.Kinds(),
		"event follow --request ": {"zuul/099", "zuul/100", "zuul/101"},
		"request create ":         nil,
		"freeze ":                 nil,
	} {
		out, err := bare(t, append([]string{"__complete", "--etcd", endpoint}, strings.Split(line, " ")...)...)
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		var got []string
		for l := range strings.Lines(out) {
			if name, _, _ := strings.Cut(strings.TrimSpace(l), "\t"); name != "" && !strings.HasPrefix(l, ":") && !strings.HasPrefix(l, "Completion ended") {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("poolctl %s<TAB> offers %q, want %q", line, got, want)
		}
	}
}

// Where etcd cannot be reached the line that is typed is not disturbed.
func TestCompletionWithoutEtcd(t *testing.T) {
	out, err := bare(t, "__complete", "--etcd", "http://127.0.0.1:1", "delete", "")
	if err != nil || !strings.HasPrefix(out, ":4") {
		t.Errorf("got %q, %v", out, err)
	}
}
