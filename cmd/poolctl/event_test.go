package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"poold/event"
	"poold/pool"
	"poold/store"
	"poold/store/kv/memkv"
	"poold/test/proc"
)

// page is what a command has printed so far.
type page struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write is part of io.Writer.
func (p *page) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(text)
}

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// has waits until the page has a text.
func (p *page) has(t *testing.T, text string) {
	t.Helper()
	proc.Await(t, "it is printed: "+text, time.Minute, func() (string, bool) {
		return p.String(), strings.Contains(p.String(), text)
	})
}

// follow runs poolctl event follow until stop is called.
func follow(t *testing.T, args ...string) (out *page, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out = &page{}
	cmd := command(func() time.Time { return noon })
	cmd.SetOut(out)
	cmd.SetErr(out)
	cmd.SetArgs(append([]string{"--etcd", endpoint, "event", "follow"}, args...))
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	return out, func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("interrupted, it ended with %v", err)
		}
	}
}

// Each event is printed when it happens, and nothing that was there before unless
// that is asked for.
func TestFollow(t *testing.T) {
	name, _, records := prefix(t)
	put := func(id, provider string) {
		t.Helper()
		n := &pool.Node{ID: pool.NodeID(id), Provider: provider, Pool: "main", Label: "noble", Created: noon}
		n = n.Moved(pool.NodePending, pool.Allocator, "demand", noon.Add(-time.Minute))
		w := pool.Write{By: pool.Allocator, Nodes: []pool.Change[pool.Node]{pool.Create(n)}}
		if _, err := records.Apply(t.Context(), nil, w); err != nil {
			t.Fatal(err)
		}
	}
	put("before", "north")
	all, stopAll := follow(t, "--since", "10m", "--prefix", name)
	south, stopSouth := follow(t, "--provider", "south", "-o", "json", "--prefix", name)
	// It follows as soon as it has told of the past.
	all.has(t, "2026-03-14T11:59:00Z node before: -> pending by allocator: demand, label noble, provider north\n")
	for i := 0; !strings.Contains(south.String(), "begun"); i++ {
		put(fmt.Sprint("begun", i), "south") // there is no telling when the other has begun
		time.Sleep(10 * time.Millisecond)
	}
	put("north", "north")
	put("south", "south")
	all.has(t, "node south:")
	south.has(t, `"name":"south"`)
	stopAll()
	stopSouth()
	if strings.Count(all.String(), "node north:") != 1 {
		t.Errorf("not told once:\n%s", all)
	}
	for line := range strings.Lines(south.String()) {
		var e event.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Provider != "south" || e.To != "pending" || e.By != "allocator" {
			t.Errorf("%v: %s", err, line)
		}
	}
}

func TestFollowRefuses(t *testing.T) {
	for _, line := range []string{"event follow --kind nodes", "event list --kind nodes", "event list --since -1h", "event follow x"} {
		if out, err := poolctl(t, strings.Fields(line)...); exitCode(err) != exitUsage {
			t.Errorf("%s: %q, %v", line, out, err)
		}
	}
}

// What a client calls its requests makes no other lines.
func TestAnEventIsALine(t *testing.T) {
	e := event.Event{At: noon, Kind: event.Request, Name: "zuul/x\n2026 node y: -> deleted", To: "requested", Label: "a\tb"}
	for format, want := range map[string]string{
		formatTable: "2026-03-14T12:00:00Z request zuul/x\\n2026 node y: -> deleted: -> requested, label a\\tb\n",
		formatName:  "zuul/x\\n2026 node y: -> deleted\n",
		formatYAML:  "---\nat: \"2026-03-14T12:00:00Z\"\nkind: request\nlabel: \"a\\tb\"\nname: |-\n    zuul/x\n    2026 node y: -> deleted\nto: requested\n",
	} {
		var out bytes.Buffer
		if err := printEvent(&out, format, e); err != nil || out.String() != want {
			t.Errorf("-o %s: %q, %v, want %q", format, &out, err, want)
		}
	}
}

// An etcd that is away is waited for, and what happened meanwhile is told; where
// etcd has forgotten it, that is said.
func TestFollowOverAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memkv.New(time.Now())
		records := store.New(mem, "", zap.NewNop())
		ctx, cancel := context.WithCancel(t.Context())
		at := &conn{Store: records}
		view, changed, stop := at.follow(ctx)
		var told, notes page
		ended := make(chan error, 1)
		go func() {
			f := follower{view: view, now: time.Now, notes: &notes, tell: func(e event.Event) error { return printEvent(&told, formatName, e) }}
			ended <- f.run(ctx, changed)
		}()
		synctest.Wait()
		freeze := func(is *pool.Freeze) *pool.Freeze {
			t.Helper()
			c := pool.Remove(is)
			if is == nil {
				c = pool.Create(&pool.Freeze{V: pool.RecordVersion, By: "ann"})
			}
			if _, err := records.Operate(t.Context(), pool.Write{Freezes: []pool.Change[pool.Freeze]{c}}); err != nil {
				t.Fatal(err)
			}
			s, err := records.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return s.Freeze
		}
		says := func(events, said int) {
			t.Helper()
			synctest.Wait()
			if n := strings.Count(told.String(), "launching\n"); n != events {
				t.Errorf("%d events were told, want %d", n, events)
			}
			if n := strings.Count(notes.String(), "\n"); n != said {
				t.Errorf("said was %q, want %d lines", &notes, said)
			}
		}
		time.Sleep(time.Minute)
		is := freeze(nil)
		says(1, 0)
		mem.Down()
		time.Sleep(time.Minute)
		says(1, 1) // it does not answer
		mem.Up()
		is = freeze(is)
		time.Sleep(time.Minute)
		says(2, 2) // it answers again
		mem.BreakWatches()
		freeze(freeze(is))
		if err := mem.Compact(mem.Revision()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		says(2, 3) // nobody saw the freeze
		if !strings.Contains(notes.String(), "something may be missing") {
			t.Errorf("said was %q", &notes)
		}
		cancel()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
