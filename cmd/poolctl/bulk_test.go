package main

import (
	"slices"
	"strings"
	"testing"

	"poold/store"
)

// Filters choose nodes, and nothing happens to them unless their number is said.
func TestBulk(t *testing.T) {
	name, _, records := prefix(t)
	if err := seedNodes(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	serve(t, records, obey)
	for _, c := range []struct {
		line string
		code int
		out  string
		err  string
		does []string
	}{
		{"node delete", exitUsage, "", "name nodes, or choose them", nil},
		{"delete n1 --label noble", exitUsage, "", "not both", nil},
		{"node hold --state new", exitUsage, "", "--state new", nil},
		{"node delete --label noble --confirm 3", exitRefused, "", "--confirm 3, but it is 2 now", nil},
		{"node delete --label noble -o name", 0, "n1\nn2\n\nNothing was done. For these: --confirm 2\n", "", nil},
		{"node delete --label noble --confirm 2 --dry-run -o name", 0, "n1\nn2\n", "", nil},
		{"node delete n9 --dry-run", exitNotFound, "", "node n9", nil},
		{"node delete --label noble --confirm 2", 0, "n1\nn2\n", "", []string{"node-delete n1", "node-delete n2"}},
		{"node delete --state in-use --force --confirm 1", 0, "n3\n", "", []string{"node-force-delete n3"}},
		{"node hold --state ready --confirm 1", 0, "n2\n", "", []string{"node-hold n2"}},
		{"peer list -o ansible", exitUsage, "", "-o ansible", nil},
	} {
		before := told(t, records)
		out, err := poolctl(t, append(strings.Fields(c.line), "--prefix", name)...)
		code, text := 0, ""
		if err != nil {
			code, text = exitCode(err), err.Error()
		}
		if code != c.code || out != c.out || !strings.Contains(text, c.err) {
			t.Errorf("poolctl %s: printed %q, exit code %d, error %q; want %q, %d, %q", c.line, out, code, text, c.out, c.code, c.err)
		}
		did := slices.DeleteFunc(told(t, records), func(done string) bool { return slices.Contains(before, done) })
		if !slices.Equal(did, c.does) {
			t.Errorf("poolctl %s does %q, want %q", c.line, did, c.does)
		}
	}
}

// told lists the commands that were given, sorted.
func told(t *testing.T, records *store.Store) []string {
	t.Helper()
	s, err := records.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, c := range s.Commands {
		list = append(list, string(c.Verb)+" "+string(c.Node)+c.Target)
	}
	slices.Sort(list)
	return list
}
