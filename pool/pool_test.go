package pool

import (
	"strings"
	"testing"
	"time"
)

func TestShortNamesTheFirstResourceThatDoesNotFit(t *testing.T) {
	l := NoLimits()
	l.Cores, l.RAMMiB = 8, 1024
	for _, c := range []struct {
		name       string
		used, want Resources
		short      string
	}{
		{"all fits", Resources{Cores: 4, RAMMiB: 512}, Resources{Cores: 4, RAMMiB: 512}, ""},
		{"one core too many", Resources{Cores: 4}, Resources{Cores: 5}, "cores"},
		{"ram is named after cores", Resources{}, Resources{Cores: 8, RAMMiB: 2048}, "ram"},
		{"unlimited never runs out", Resources{Instances: 1 << 40}, Resources{Instances: 1}, ""},
		{"what is not asked for cannot be short", Resources{Cores: 99}, Resources{RAMMiB: 1}, ""},
	} {
		if got := l.Short(c.used, c.want); got != c.short {
			t.Errorf("%s: got %q, want %q", c.name, got, c.short)
		}
	}
}

func TestFlavorFollowsNodepoolsRules(t *testing.T) {
	q := Quota{Flavors: []Flavor{
		{ID: "3", Name: "big-ssd", RAMMiB: 16384},
		{ID: "1", Name: "small", RAMMiB: 2048},
		{ID: "2", Name: "b-8g", RAMMiB: 8192},
		{ID: "4", Name: "a-8g", RAMMiB: 8192},
	}}
	for _, c := range []struct {
		name  string
		label LabelSpec
		id    string
	}{
		{"exact name", LabelSpec{FlavorName: "small"}, "1"},
		{"exact id", LabelSpec{FlavorName: "3"}, "3"},
		{"a part of a name is not enough without a least RAM", LabelSpec{FlavorName: "ssd"}, ""},
		{"least RAM, smallest first, then by name", LabelSpec{MinRAMMiB: 4096}, "4"},
		{"least RAM with a part of the name", LabelSpec{MinRAMMiB: 4096, FlavorName: "ssd"}, "3"},
		{"nothing is big enough", LabelSpec{MinRAMMiB: 1 << 20}, ""},
	} {
		f, ok := q.Flavor(&c.label)
		if f.ID != c.id || ok != (c.id != "") {
			t.Errorf("%s: got %q, %v; want %q", c.name, f.ID, ok, c.id)
		}
	}
}

// Instance names are host names in the guest: Windows takes 15 characters.
func TestInstanceNamesFitWindows(t *testing.T) {
	batch, err := NewBatchID(strings.NewReader("\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7"))
	if err != nil {
		t.Fatal(err)
	}
	if n := InstanceName(batch, 9999, 9999); len(n) > 15 {
		t.Errorf("%q has %d characters", n, len(n))
	}
	if n := InstanceName(batch, 1, 1); n != batch {
		t.Errorf("a lone instance is called %q, want %q", n, batch)
	}
}

func TestMovedStampsACopy(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.FixedZone("x", 3600))
	n := &Node{State: NodePending, Timeline: make([]Stamp, 1, 9)}
	a := n.Moved(NodeBuilding, Launcher, "asked", now)
	b := n.Moved(NodeFailed, Launcher, "no image", now)
	if n.State != NodePending || len(n.Timeline) != 1 {
		t.Error("the original changed")
	}
	if a.Timeline[1].State != NodeBuilding || b.Timeline[1].State != NodeFailed {
		t.Error("two copies share one timeline")
	}
	want := time.Date(2026, 1, 2, 2, 4, 5, 678_000_000, time.UTC)
	if at, ok := a.Entered(NodeBuilding); !ok || at != want || a.Since != want {
		t.Errorf("entered at %v, want %v in UTC and whole milliseconds", at, want)
	}
}
