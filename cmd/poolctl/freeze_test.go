package main

import (
	"strings"
	"testing"
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
