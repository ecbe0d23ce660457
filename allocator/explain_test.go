package allocator

import (
	"strings"
	"testing"
	"time"

	"poold/pool"
)

// An explanation is about the request alone and agrees with the plan.
func TestExplain(t *testing.T) {
	w := newWorld(t, aProvider("east", nil), aProvider("west", nil))
	w.quota("east", cores(0))
	delete(w.quotas, "west")
	w.request("a", "small")
	w.request("b", "rare")
	ask := func(id string) string {
		e := Explain(w.snapshot(), w.cat, pool.RequestRef{Client: "ci", ID: id}, w.now)
		if e == nil {
			return "nothing"
		}
		return e.String()
	}
	for id, want := range map[string]string{
		"a": "too-large", "b": "It fails: no provider offers", "none": "nothing",
	} {
		if got := ask(id); !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want it to contain %q", id, got, want)
		}
	}
	w.quota("west", pool.NoLimits())
	w.quietly()
	w.boot()
	if got := ask("a"); !strings.Contains(got, "It is served now from west/main") {
		t.Errorf("got %q", got)
	}
	w.quietly()
	if got := ask("a"); !strings.Contains(got, "west/main: ok: small: node n001, in-use") {
		t.Errorf("got %q", got)
	}
	if got := ask("b"); !strings.Contains(got, "It failed at") {
		t.Errorf("got %q", got)
	}
}

// Every provider says why not yet and, where it is a matter of time, when it
// is tried next: in the answer to a command and in the reasons alike.
func TestExplainCommand(t *testing.T) {
	w := newWorld(t,
		aProvider("broken", nil), aProvider("full", func(p *pool.Provider) { p.Pools[0].Limits = cores(2) }),
		aProvider("over", nil), aProvider("away", nil), aProvider("busy", func(p *pool.Provider) { p.MaxConcurrency = 1 }))
	w.have(1, "small", "full")
	w.request("full", "small")
	w.quota("over", cores(2)).Foreign = pool.Resources{Cores: 1}
	w.quotas["away"].Trouble = "no route to host"
	w.quietly()
	w.request("n1", "small", func(r *pool.Request) { r.Provider = "busy" })
	w.request("n2", "small", func(r *pool.Request) { r.Provider = "broken" })
	w.quietly()
	for _, n := range w.live("broken") {
		w.breakDown(n.ID, pool.KindCapacity, "p1")
	}
	w.request("a", "small")
	w.quietly()
	want := map[string]string{
		"broken": ClassBreaker, "full": ClassPoolFull, "over": ClassQuota, "away": ClassTrouble, "busy": ClassConcurrency,
	}
	next := start.Add(firstPause)
	for _, r := range w.allocations["ci/a"].Reasons {
		if r.Class != want[r.Provider] || (r.Next != nil) != (r.Provider == "broken") || r.Next != nil && !r.Next.Equal(next) {
			t.Errorf("reason %+v, want class %s", r, want[r.Provider])
		}
	}
	explain := func(target string) func(c *pool.Command) {
		return func(c *pool.Command) { c.Target = target }
	}
	w.command("1", pool.VerbExplain, "", explain("ci/a"))
	w.command("2", pool.VerbExplain, "", explain("ci/none"))
	w.quietly()
	if c := w.commands["2"]; !c.Done || !c.NotFound {
		t.Errorf("%+v", c)
	}
	e := w.commands["1"].Explanation
	if e == nil || len(e.Places) != len(want) || e.Outcome != "It cannot be placed now." || e.Ahead != 2 {
		t.Fatalf("explanation %+v", e)
	}
	for _, p := range e.Places {
		if p.Class != want[p.Provider] || (p.Next != nil) != (p.Provider == "broken") || p.Text == "" {
			t.Errorf("place %+v, want class %s", p, want[p.Provider])
		}
	}
	w.after(firstPause)
	w.quietly()
	e = Explain(w.snapshot(), w.cat, pool.RequestRef{Client: "ci", ID: "a"}, w.now.Add(time.Second))
	if i := strings.Index(e.String(), "one is being tried"); i < 0 || e.Places[1].Next != nil {
		t.Errorf("a probe is under way: %s", e)
	}
}
