//go:build bench

package bench

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// row is a line of the table. What is empty was not measured, or has no goal.
type row struct {
	measured, value, goal, nodepool string
	// floor is what was measured in the same run without poold, and ratio how
	// many times that the value is.
	floor, ratio string
}

// table is what a run has measured.
type table struct {
	mu    sync.Mutex // guards what follows
	rows  []row
	calls []callRow
}

// callRow is how often a call was made per lifecycle, 100 and 10 of them in
// flight.
type callRow struct {
	call              string
	poold100, poold10 string
	peer100, peer10   string
}

var outcome table

// add prints a row and keeps it for the table.
func add(tb testing.TB, r row) {
	tb.Helper()
	tb.Logf("%s: %s (goal %s, nodepool %s, floor %s, ratio %s)", r.measured, r.value, r.goal, r.nodepool, r.floor, r.ratio)
	outcome.mu.Lock()
	defer outcome.mu.Unlock()
	outcome.rows = append(outcome.rows, r)
}

// addCalls keeps rows for the table of calls.
func addCalls(rows ...callRow) {
	outcome.mu.Lock()
	defer outcome.mu.Unlock()
	outcome.calls = append(outcome.calls, rows...)
}

// String is the tables as Markdown, with what else went on between two looks.
func (o *table) String(from, to machine) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var b strings.Builder
	took := to.at.Sub(from.at)
	others := max(0, (to.busy-from.busy)-(to.own-from.own)).Seconds() / took.Seconds() * 100
	fmt.Fprintf(&b, "Measured on %s, %d cores of %s, in %.0f s. Other processes used %.0f %% of a core meanwhile.\n\n",
		to.at.UTC().Format(time.DateOnly), runtime.NumCPU(), processor(), took.Seconds(), others)
	b.WriteString("| measured | value | goal | nodepool (2026-11-20) | floor in this run | ratio |\n|---|---|---|---|---|---|\n")
	for _, r := range o.rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", r.measured, r.value, r.goal, r.nodepool, r.floor, r.ratio)
	}
	if len(o.calls) > 0 {
		b.WriteString("\n| calls per lifecycle | poold, 100 in flight | 10 in flight | nodepool (2026-11-20), 100 in flight | 10 in flight |\n" +
			"|---|---|---|---|---|\n")
	}
	for _, r := range o.calls {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.call, r.poold100, r.poold10, r.peer100, r.peer10)
	}
	return b.String()
}

// machine is what the machine had done at a moment.
type machine struct {
	at time.Time
	// busy is the CPU time of all processes, own that of this one and of its
	// children that have ended.
	busy, own time.Duration
}

func look(now time.Time) machine {
	m := machine{at: now}
	text, _ := os.ReadFile("/proc/stat") // without it there is nothing to tell of others
	line, _, _ := strings.Cut(string(text), "\n")
	for i, field := range strings.Fields(line) {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if idle := i == 4 || i == 5; err == nil && !idle && i <= 8 { // the rest is of guests, and counted already
			m.busy += time.Duration(ticks) * clockTick
		}
	}
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var used syscall.Rusage
		if syscall.Getrusage(who, &used) == nil {
			m.own += time.Duration(used.Utime.Nano() + used.Stime.Nano())
		}
	}
	return m
}

// processor is the model of the CPU.
func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // it is for readers only
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// The marks in a document between which the tables stand.
const (
	tableBegin = "<!-- bench:begin -->\n"
	tableEnd   = "<!-- bench:end -->\n"
)

// insert writes the tables into a document.
func insert(file, text string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, found := bytes.Cut(old, []byte(tableBegin))
	_, after, ends := bytes.Cut(rest, []byte(tableEnd))
	if !found || !ends {
		return fmt.Errorf("%s has no place for the tables", file)
	}
	return os.WriteFile(file, slices.Concat(before, []byte(tableBegin+text+tableEnd), after), 0o600)
}

// duration prints a time with three digits at most.
func duration(d time.Duration) string {
	switch ms := float64(d) / float64(time.Millisecond); {
	case ms < 10:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// ratio prints how many times b a is.
func ratio[T ~int64 | ~float64](a, b T) string {
	if b == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f", float64(a)/float64(b))
}

// quantiles prints two of them.
func quantiles(d times) string { return duration(d.at(0.5)) + " / " + duration(d.at(0.99)) }
