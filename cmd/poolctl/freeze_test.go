package main

import (
	"strings"
	"testing"
	"time"

	"poold/internal/golden"
	"poold/pool"
)

// A freeze is a state: it is made once, lasts, and is removed once.
func TestFreeze(t *testing.T) {
	name, _, records := prefix(t)
	for _, c := range []struct {
		line   string
		code   int
		frozen string
	}{
		{"unfreeze", exitNotFound, ""},
		{"freeze --reason moving", 0, "moving"},
		{"freeze", exitRefused, "moving"},
		{"unfreeze", 0, ""},
	} {
		out, err := poolctl(t, append(strings.Fields(c.line), "--prefix", name)...)
		if (err == nil) != (c.code == 0) || err != nil && exitCode(err) != c.code {
			t.Errorf("%s: %q, %v, want exit code %d", c.line, out, err, c.code)
		}
		s, err := records.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if (s.Freeze != nil) != (c.frozen != "") || s.Freeze != nil && (s.Freeze.Reason != c.frozen || s.Freeze.By == "" || s.Freeze.At.IsZero()) {
			t.Errorf("after %s the freeze is %+v, want %q", c.line, s.Freeze, c.frozen)
		}
	}
}

// Lists of what would launch say that nothing does, where a human reads them.
func TestListsTellOfAFreeze(t *testing.T) {
	name, _, records := prefix(t)
	f := &pool.Freeze{V: pool.RecordVersion, By: "alice", Reason: "moving", At: noon.Add(-3 * time.Minute)}
	w := pool.Write{By: pool.Operator, Freezes: []pool.Change[pool.Freeze]{pool.Create(f)}}
	if _, err := records.Apply(t.Context(), nil, w); err != nil {
		t.Fatal(err)
	}
	for file, line := range map[string]string{
		"peer-list-frozen": "peer list", "peer-list-frozen-json": "peer list -o json", "provider-list-frozen": "provider list",
	} {
		out, err := poolctl(t, append(strings.Fields(line), "--prefix", name)...)
		if err != nil {
			t.Fatal(err)
		}
		golden.Equal(t, "testdata/"+file+".txt", out)
	}
}
