package event

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"poold/pool"
)

// day tells of the lives of so many nodes in a day, one after the other, and of the
// request that each serves: 12 events of each. As they come from records that are
// read anew after each move, no two have a string in common.
func day(nodes int, tell func([]Event)) {
	for i := range nodes {
		at := begin().Add(time.Duration(i) * 24 * time.Hour / time.Duration(nodes)).Truncate(time.Millisecond)
		for _, e := range lifeOf(i) {
			at = at.Add(1234 * time.Millisecond)
			e.At = at
			tell([]Event{e})
		}
	}
}

// lifeOf are the events of one node and its request.
func lifeOf(i int) []Event {
	id, ref := fmt.Sprintf("n%011x", i), fmt.Sprintf("zuul/300-%010d", i)
	provider, label, image := fmt.Sprintf("openstack-region-%02d", i%50), fmt.Sprintf("debian-bookworm-%02d-8gb", i%100), fmt.Sprintf("debian-bookworm-%02d", i%10)
	request := Event{Kind: Request, Name: ref}
	node := Event{Kind: Node, Name: id, Provider: provider, Label: label, Image: image}
	given := Served{Node: pool.NodeID(id), Label: label, Provider: provider, Image: image, Instance: "0c6ba22d-1dcd-4e03-8ca6-" + id, Build: "b4"}
	all := []Event{
		moved(request, "", "requested", "zuul", ""),
		moved(request, "", "waiting", "allocator", ""),
		moved(node, "", "pending", "allocator", "wanted by "+ref),
		moved(node, "pending", "building", "launcher", fmt.Sprintf("%d of a batch of 20", 1+i%20)),
		moved(node, "building", "ready", "launcher", ""),
		moved(node, "ready", "in-use", "allocator", "given to "+ref),
		moved(request, "waiting", "fulfilled", "allocator", ""),
		moved(node, "in-use", "hold", "operator", "node-hold by ann"),
		moved(request, "", "gone", "zuul", ""),
		moved(node, "hold", "used", "allocator", "its request is gone"),
		moved(node, "used", "deleting", "launcher", ""),
		moved(node, "deleting", "deleted", "launcher", "gone"),
	}
	all[6].Served = []Served{given}
	for j := range all {
		e := &all[j]
		if j > 4 && e.Kind == Node {
			e.Request = ref
		}
		for _, text := range []*string{
			&e.Kind, &e.Name, &e.From, &e.To, &e.By, &e.Reason, &e.Provider, &e.Label, &e.Image, &e.Request,
		} {
			*text = strings.Clone(*text)
		}
	}
	return all
}

func moved(e Event, from, to, by, reason string) Event {
	e.From, e.To, e.By, e.Reason = from, to, by, reason
	if from != "" {
		e.Seconds = 1.234
	}
	return e
}

// heap is how much of the heap is in use.
func heap() int {
	runtime.GC()
	runtime.GC() // the first may leave what was freed while it ran
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// filled is a log of the events of so many nodes.
func filled(most, nodes int) *Log {
	l := NewLog(most, 7*24*time.Hour)
	day(nodes, func(events []Event) { l.Add(events[0].At, events) })
	return l
}

// What 25,000 nodes tell in a day takes less than 100 bytes for each event, and as
// much as the log believes.
func TestADay(t *testing.T) {
	const nodes, most = 25_000, 32 << 20
	before := heap()
	l := filled(most, nodes)
	used := heap() - before
	_, all := l.Newest(Filter{}, 0, 0)
	t.Logf("%d events in %d bytes, %d each; believed to be %d", all, used, used/all, l.size)
	if want := nodes * len(lifeOf(0)); all != want || used/all >= 100 {
		t.Errorf("%d events of %d, %d bytes each", all, want, used/all)
	}
	if ratio := float64(used) / float64(l.size); ratio < 0.8 || ratio > 1.2 {
		t.Errorf("%d bytes are believed to be %d", used, l.size)
	}
	runtime.KeepAlive(l)
}

// However little the events have in common, a log takes what it may and not more.
func TestALogIsBounded(t *testing.T) {
	const most = 2 << 20
	for name, long := range map[string]int{"short": 10, "long": 2000, "longer than a chunk": 2 * chunkBytes} {
		l := NewLog(most, 7*24*time.Hour)
		before := heap()
		for i := range 4 * most / (500 + long) {
			text := func(s string) string { // a part of what is not kept
				return fmt.Sprintf("%s %09d %300d", s, i, i)[:len(s)+10]
			}
			l.Add(at(i), []Event{{
				At: at(i), Kind: Node, Name: text("n"), From: text("f"), To: text("t"), By: text("b"), Reason: text(strings.Repeat("r", long)),
				Provider: text("p"), Label: text("l"), Image: text("i"), Request: text("q"),
				Served: []Served{{Node: pool.NodeID(text("n")), Instance: text("i"), Build: text("b"), Label: text("L"), Provider: text("P"), Image: text("I")}},
			}})
		}
		used := heap() - before
		_, all := l.Newest(Filter{}, 0, 0)
		t.Logf("%s: %d events in %d bytes", name, all, used)
		if used < most/2 || used > most*5/4+chunkBytes {
			t.Errorf("%s: %d events in %d bytes", name, all, used)
		}
		runtime.KeepAlive(l)
	}
}

// What one more event costs, and what a page of them does, with few events and
// with many.
func BenchmarkLog(b *testing.B) {
	for _, nodes := range []int{250, 25_000} {
		l := filled(32<<20, nodes)
		last := l.Last()
		run := func(name string, do func()) {
			b.Run(fmt.Sprintf("%s/%d", name, last), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					do()
				}
			})
		}
		run("After", func() { l.After(last-1, Filter{}, 200) })
		run("AfterOfProvider", func() { l.After(last-1, Filter{Provider: "openstack-region-07"}, 200) })
		for name, f := range map[string]Filter{
			"All": {}, "Node": {Name: "n00000000007"}, "Kind": {Kind: Node}, "Provider": {Provider: "openstack-region-07"}, "Human": {Human: true},
		} {
			run("Page"+name, func() { l.Newest(f, 0, 100) })
		}
		run("PageLast", func() { l.Newest(Filter{}, int(last)-100, 100) })
		one := lifeOf(nodes)[:1]
		one[0].At = begin().Add(25 * time.Hour)
		run("Add", func() { l.Add(one[0].At, one) })
	}
}
