package sim

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"poold/pool"
)

// edge is a move of a record; no From makes it, no To removes it.
type edge struct{ kind, from, to string }

func (e edge) String() string {
	name := func(s string) string {
		if s == "" {
			return "-"
		}
		return s
	}
	return e.kind + " " + name(e.from) + " > " + name(e.to)
}

// table counts how often each edge met each fault: how often the fault struck
// the record's cloud, or the peer that owned it, or its way to etcd, while the
// record was in the state that the edge leaves.
type table struct {
	// mu guards the rest. Nothing else is locked while it is held.
	mu    sync.Mutex
	cells map[edge]map[Fault]int
	taken map[edge]int
	// struck counts each fault.
	struck map[Fault]int
	// last is when each fault last struck each scope.
	last map[string]map[Fault]time.Time
}

func newTable() *table {
	t := &table{cells: map[edge]map[Fault]int{}, taken: map[edge]int{}, struck: map[Fault]int{}}
	t.fresh()
	return t
}

// fresh forgets when faults struck: another world begins.
func (t *table) fresh() { t.last = map[string]map[Fault]time.Time{} }

// strike notes that a fault struck some scopes.
func (t *table) strike(f Fault, scopes ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.struck[f]++
	for _, scope := range scopes {
		t.strikeOne(scope, f)
	}
}

func (t *table) strikeOne(scope string, f Fault) {
	if t.last[scope] == nil {
		t.last[scope] = map[Fault]time.Time{}
	}
	t.last[scope][f] = time.Now()
}

// met counts an edge and the faults that it met.
func (t *table) met(kind, from, to string, faults []Fault) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := edge{kind, from, to}
	t.taken[e]++
	if t.cells[e] == nil {
		t.cells[e] = map[Fault]int{}
	}
	for _, f := range faults {
		t.cells[e][f]++
	}
}

// since returns the faults that struck the owner of a scope, a cloud (any of
// them for "") or a client since a time.
func (j *judge) since(scope, provider string, entered time.Time) []Fault {
	j.table.mu.Lock()
	defer j.table.mu.Unlock()
	var met []Fault
	add := func(scope string) {
		for f, at := range j.table.last[scope] {
			if !at.Before(entered) {
				met = append(met, f)
			}
		}
	}
	add("owner " + scope)
	add("clients")
	add("world")
	for _, s := range j.w.sites {
		if provider == "" || s.conf.Name == provider {
			add("cloud " + s.conf.Name)
		}
	}
	o, ok := j.owners[scope]
	if ok && j.w.offsetOf(o.peer) != 0 {
		met = append(met, FaultClock)
	}
	if ok && scope != "allocator" && j.w.isOld(o.peer) {
		met = append(met, FaultConfig)
	}
	slices.Sort(met)
	return slices.Compact(met)
}

// struckPeer notes a fault of a peer or of its way to etcd: it concerns
// whatever the peer owns.
func (j *judge) struckPeer(who string, f Fault) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var scopes []string
	for name, o := range j.owners {
		if o.peer == who {
			scopes = append(scopes, "owner "+name)
		}
	}
	j.table.strike(f, scopes...)
}

// edges lists every move that there is.
func edges() []edge {
	list := []edge{{"node", "", "pending"}, {"node", "deleted", ""}}
	for _, e := range pool.NodeMachine().Edges {
		list = append(list, edge{"node", string(e.From), string(e.To)})
	}
	for _, s := range []string{"waiting", "fulfilled", "failed"} {
		list = append(list, edge{"allocation", "", s}, edge{"allocation", s, ""})
	}
	for _, e := range pool.AllocationMachine().Edges {
		list = append(list, edge{"allocation", string(e.From), string(e.To)})
	}
	return list
}

// print writes the table, a line per edge, faults numbered in the head.
func (t *table) print(w *strings.Builder) {
	faults := allFaults()
	for i, f := range faults {
		fmt.Fprintf(w, "%2d %-18s struck %d times\n", i+1, f, t.struck[f])
	}
	fmt.Fprintf(w, "%-34s %8s", "edge", "taken")
	for i := range faults {
		fmt.Fprintf(w, " %6d", i+1)
	}
	w.WriteByte('\n')
	for _, e := range edges() {
		fmt.Fprintf(w, "%-34s %8d", e, t.taken[e])
		for _, f := range faults {
			fmt.Fprintf(w, " %6d", t.cells[e][f])
		}
		w.WriteByte('\n')
	}
	for e := range t.taken {
		if !slices.Contains(edges(), e) {
			fmt.Fprintf(w, "not in the table of states: %s %d\n", e, t.taken[e])
		}
	}
}

// holes returns the cells that are zero and not explained.
func (t *table) holes() []string {
	var holes []string
	for _, e := range edges() {
		for _, f := range allFaults() {
			if t.cells[e][f] == 0 && explained(e, f) == "" {
				holes = append(holes, fmt.Sprintf("%s met no %s", e, f))
			}
		}
	}
	return holes
}

// add takes in the counts of another run.
func (t *table) add(o *table) {
	for e, n := range o.taken {
		t.taken[e] += n
	}
	for f, n := range o.struck {
		t.struck[f] += n
	}
	for e, row := range o.cells {
		if t.cells[e] == nil {
			t.cells[e] = map[Fault]int{}
		}
		for f := range row {
			t.cells[e][f] += row[f]
		}
	}
}

// explained says why an edge cannot meet a fault, or "".
func explained(e edge, f Fault) string {
	launchers := slices.Contains(launcherEdges(), e)
	atOnce := e == edge{"node", "pending", "failed"}
	ownerless := e == edge{"node", "failed", "hold"}
	switch {
	case f == FaultConfig && !launchers:
		return "only launchers have an old configuration here: one allocator decides for all"
	case ownerless && slices.Contains(cloudFaults(), f):
		return "a failed node stays one only while its provider has no owner, and nobody calls the cloud meanwhile"
	case slices.Contains(erasedEdges(), e):
		return "a provider is erased only if no peer has it, and every peer has all of them here"
	case atOnce && slices.Contains(cloudFaults(), f):
		return "what cannot be asked for fails at the first look, before any call is made for it"
	}
	return ""
}

// erasedEdges are those of nodes whose provider is gone for good.
func erasedEdges() []edge {
	var list []edge
	for _, from := range []string{"building", "ready", "used", "failed"} {
		list = append(list, edge{"node", from, "deleted"})
	}
	return list
}

// launcherEdges are the edges that launchers take.
func launcherEdges() []edge {
	var list []edge
	for _, e := range pool.NodeMachine().Edges {
		if slices.Contains(e.By, pool.Launcher) {
			list = append(list, edge{"node", string(e.From), string(e.To)})
		}
	}
	return list
}

// cloudFaults are those that strike a call or a server that a call made.
func cloudFaults() []Fault {
	return []Fault{
		FaultUnanswered, FaultCallCut, FaultCallLost, FaultErrorAfter, FaultLimited, FaultLimitedAfter,
		FaultQuotaCall, FaultInvalid, FaultConflict, FaultForbidden, FaultToken, FaultSlowCall, FaultCreateLate,
		FaultNoHost, FaultServerQuota, FaultServerError, FaultStuckBuild, FaultNoSSH, FaultVanish,
		FaultStuckDelete, FaultStaleList, FaultCellDown, FaultZoneGone, FaultOutage,
	}
}

// explanations lists the reasons for empty cells, with how many they explain.
func (t *table) explanations() string {
	reasons := map[string]int{}
	for _, e := range edges() {
		for _, f := range allFaults() {
			if why := explained(e, f); why != "" && t.cells[e][f] == 0 {
				reasons[why]++
			}
		}
	}
	var b strings.Builder
	for _, why := range sortedKeys(reasons) {
		fmt.Fprintf(&b, "%d cells are empty: %s\n", reasons[why], why)
	}
	return b.String()
}
