package allocator

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"poold/pool"
)

// Operation is what a decision does, a word for logs and metrics.
type Operation string

// The operations, in the order in which a plan has them.
const (
	OpCommand  Operation = "command"
	OpRelease  Operation = "release"
	OpExpire   Operation = "expire"
	OpAnswer   Operation = "answer"
	OpServe    Operation = "serve"
	OpProve    Operation = "prove"
	OpFail     Operation = "fail"
	OpWait     Operation = "wait"
	OpAsk      Operation = "ask"
	OpRetire   Operation = "retire"
	OpForget   Operation = "forget"
	OpNote     Operation = "note"
	OpLaunch   Operation = "launch"
	maxChanges           = 60 // records of one write that need not be written together
)

// Launch is a number of new nodes that differ in their ids only.
type Launch struct {
	// Node is the record of each; its ID is empty.
	Node  *pool.Node
	Count int
}

// Decision is one atomic write and why it is made.
type Decision struct {
	Operation Operation
	// Subject is whom it is about: a request, a node or a provider.
	Subject string
	Reason  string
	Write   pool.Write
	// Launches are new nodes that belong to the write once they have ids.
	Launches []Launch
	// Latency is how long the request waited, of a decision that serves one.
	Latency time.Duration
}

// Plan is what to do now, most important first. No two decisions touch the
// same record.
type Plan struct {
	Decisions []Decision
	// Next is when to decide again if nothing changes; zero is never.
	Next time.Time
	// Frozen is why nothing is launched anywhere; empty if something may be.
	Frozen string
	// Waiting is how many requests are unanswered after the plan, and Oldest
	// how long the oldest of them has waited.
	Waiting int
	Oldest  time.Duration
}

// Summary is one line about the plan for the log.
func (p *Plan) Summary() string {
	counts := map[Operation]int{}
	order := []Operation{}
	launched := 0
	for i := range p.Decisions {
		d := &p.Decisions[i]
		if counts[d.Operation] == 0 {
			order = append(order, d.Operation)
		}
		counts[d.Operation]++
		for _, l := range d.Launches {
			launched += l.Count
		}
	}
	parts := make([]string, 0, len(order)+2)
	for _, op := range order {
		parts = append(parts, fmt.Sprintf("%s %d", op, counts[op]))
	}
	if launched > 0 {
		parts = append(parts, fmt.Sprintf("new nodes %d", launched))
	}
	parts = append(parts, fmt.Sprintf("waiting %d", p.Waiting))
	return strings.Join(parts, ", ")
}

// String is the whole plan for a reader: a line per decision and, indented, a
// line per record that it changes.
func (p *Plan) String() string {
	var b strings.Builder
	for i := range p.Decisions {
		p.Decisions[i].describe(&b)
	}
	if p.Frozen != "" {
		fmt.Fprintf(&b, "%s\n", p.Frozen)
	}
	fmt.Fprintf(&b, "waiting %d", p.Waiting)
	if p.Waiting > 0 {
		fmt.Fprintf(&b, ", the oldest for %s", p.Oldest)
	}
	if !p.Next.IsZero() {
		fmt.Fprintf(&b, "; next at %s", p.Next.Format("15:04:05.999"))
	}
	b.WriteByte('\n')
	return b.String()
}

func (d *Decision) describe(b *strings.Builder) {
	fmt.Fprintf(b, "%s %s: %s\n", d.Operation, d.Subject, d.Reason)
	for _, l := range d.Launches {
		n := l.Node
		fmt.Fprintf(b, "  new %d x %s in %s: %s%s\n", l.Count, n.Label, where(n.Provider, n.Pool, n.AZ), n.Reason, forSet(n))
	}
	for _, c := range d.Write.Nodes {
		printNode(b, c)
	}
	for _, c := range d.Write.Allocations {
		printAllocation(b, c)
	}
	for _, c := range d.Write.Uploads {
		fmt.Fprintf(b, "  upload of %s failing %q\n", c.After.Build, c.After.Failing)
	}
	for _, c := range d.Write.Commands {
		fmt.Fprintf(b, "  command %s done %q\n", c.After.ID, c.After.Error)
	}
	for _, c := range d.Write.Quotas {
		fmt.Fprintf(b, "  quota of %s wanted as of %d\n", c.After.Provider, c.After.Wanted)
	}
	for _, c := range d.Write.Requests {
		fmt.Fprintf(b, "  request %s/%s removed\n", c.Before.Client, c.Before.ID)
	}
}

func printNode(b *strings.Builder, c pool.Change[pool.Node]) {
	if c.After == nil {
		fmt.Fprintf(b, "  node %s forgotten\n", c.Before.ID)
		return
	}
	fmt.Fprintf(b, "  node %s %s", c.Before.ID, c.Before.State)
	if c.After.State != c.Before.State {
		fmt.Fprintf(b, " -> %s", c.After.State)
	}
	if c.After.AllocatedTo != nil {
		fmt.Fprintf(b, " of %s", name(*c.After.AllocatedTo))
	}
	if c.After.HoldUntil != nil {
		fmt.Fprintf(b, " until %s", c.After.HoldUntil.Format("15:04:05.999"))
	}
	b.WriteByte('\n')
}

func printAllocation(b *strings.Builder, c pool.Change[pool.Allocation]) {
	a := c.After
	if a == nil {
		fmt.Fprintf(b, "  allocation %s removed\n", name(c.Before.Ref()))
		return
	}
	fmt.Fprintf(b, "  allocation %s %s\n", name(a.Ref()), a.State)
	if a.Error != "" {
		fmt.Fprintf(b, "    error: %s\n", a.Error)
	}
	for _, r := range a.Reasons {
		fmt.Fprintf(b, "    %s: %s: %s\n", r.Provider, r.Class, r.Text)
	}
	for _, n := range a.Nodes {
		shown := "hidden"
		if n.InterfaceIP != "" {
			shown = n.InterfaceIP
		}
		fmt.Fprintf(b, "    %s %s %s %s\n", n.Label, n.ID, n.State, shown)
	}
	for _, s := range a.Ignored {
		fmt.Fprintf(b, "    ignored: %s\n", s)
	}
}

func forSet(n *pool.Node) string {
	if n.ForSet == nil {
		return ""
	}
	return ", for the set of " + name(*n.ForSet)
}

// name is a request for a reader; its revision distinguishes it from others of
// the same id.
func name(r pool.RequestRef) string {
	return fmt.Sprintf("%s/%s@%d", r.Client, r.ID, r.CreateRevision)
}

func where(provider, slice, az string) string {
	if az == "" {
		return provider + "/" + slice
	}
	return provider + "/" + slice + "/" + az
}

// oldestFirst orders nodes by age; the id makes it total.
func oldestFirst(a, b *pool.Node) int {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
}

// chunks calls f with at most maxChanges of the changes at a time.
func chunks(changes []pool.Change[pool.Node], f func(some []pool.Change[pool.Node])) {
	for some := range slices.Chunk(changes, maxChanges) {
		f(some)
	}
}
