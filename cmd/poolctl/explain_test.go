package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"poold/internal/golden"
	"poold/pool"
)

// waiting is an explanation with a reason of every sort.
func waiting() *pool.Explanation {
	next := noon.Add(5 * time.Second)
	return &pool.Explanation{
		Client: "zuul", ID: "101", Labels: []string{"noble", "noble"}, Priority: 100, At: noon, Waited: 83, Ahead: 4,
		Places: []pool.Place{
			{Provider: "north", Pool: "main", AZ: "az1", Class: "breaker", Text: "2 launches in a row failed", Next: &next},
			{Provider: "north", Pool: "main", AZ: "az2", Text: "1 of 2 nodes are idle or in flight, 1 can be launched now"},
			{Provider: "south", Pool: "main", Class: "quota", Text: "18 of 20 cores in use, 8 wanted"},
		},
		Outcome: "It waits for nodes in north/main/az2 to become ready.",
	}
}

// What is printed is a contract with scripts, in every format.
func TestExplainIsPrinted(t *testing.T) {
	for _, format := range []string{formatTable, formatJSON, formatYAML, formatName} {
		var out bytes.Buffer
		if err := explain(&out, format, waiting()); err != nil {
			t.Fatal(err)
		}
		golden.Equal(t, filepath.Join("testdata", "request-explain."+format), out.String())
	}
}

// The allocator is asked, and what it does not know is not found.
func TestExplainAsksTheAllocator(t *testing.T) {
	name, _, records := prefix(t)
	serve(t, records, func(s *pool.Snapshot) []pool.Write {
		var list []pool.Write
		for _, c := range s.Commands {
			if c.Done {
				continue
			}
			done := *c
			done.Done = true
			if c.Verb == pool.VerbExplain && c.Target == "zuul/101" {
				done.Explanation = waiting()
			} else {
				done.Error, done.NotFound = "no such request", true
			}
			list = append(list, pool.Write{By: pool.Operator, Commands: []pool.Change[pool.Command]{pool.Update(c, &done)}})
		}
		return list
	})
	out, err := poolctl(t, "request", "explain", "zuul/101", "--prefix", name)
	if err != nil || !strings.Contains(out, "It waits for nodes in north/main/az2") {
		t.Errorf("printed %q, error %v", out, err)
	}
	if _, err := poolctl(t, "request", "explain", "zuul/102", "--prefix", name); exitCode(err) != exitNotFound {
		t.Errorf("an unknown request: %v", err)
	}
}
