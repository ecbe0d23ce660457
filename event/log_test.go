package event

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLog(t *testing.T) {
	l := NewLog(1<<20, 5*time.Minute)
	for i := range 8 {
		l.Add(at(i), []Event{{At: at(i), Kind: Node, Name: fmt.Sprint(i)}})
	}
	found, next, missed := l.After(0, Filter{}, 2)
	if len(found) != 2 || found[0].Name != "2" || next != 4 || !missed {
		t.Errorf("got %v, %d, %v", said(found), next, missed)
	}
	if found, next, missed = l.After(next, Filter{Name: "7"}, 2); len(found) != 1 || next != 8 || missed {
		t.Errorf("got %v, %d, %v", said(found), next, missed)
	}
	if found, next, missed = l.After(next, Filter{}, 2); len(found) != 0 || next != 8 || missed {
		t.Errorf("got %v, %d, %v", said(found), next, missed)
	}
	if found, _, _ = l.After(99, Filter{}, 9); len(found) != 6 {
		t.Errorf("after a restart: %v", said(found))
	}
	if found, all := l.Newest(Filter{Kind: Node}, 1, 2); all != 6 || len(found) != 2 || found[0].Name != "6" {
		t.Errorf("got %v of %d", said(found), all)
	}
	l.Forget(at(11))
	if found, _, _ = l.After(0, Filter{}, 9); len(found) != 2 {
		t.Errorf("later: %v", said(found))
	}
	l.Forget(at(60))
	if found, next, missed = l.After(7, Filter{}, 9); len(found) != 0 || next != 8 || !missed {
		t.Errorf("all are forgotten: %v, %d, %v", said(found), next, missed)
	}
	if _, next, missed = l.After(next, Filter{}, 9); next != 8 || missed || len(l.chunks) != 0 || l.size != 0 {
		t.Errorf("there is nothing: %d, %v, in %d chunks of %d bytes", next, missed, len(l.chunks), l.size)
	}
	l.Add(at(61), []Event{{At: at(61), Kind: Node, Name: "8"}})
	if found, next, missed = l.After(next, Filter{}, 9); len(found) != 1 || next != 9 || missed || l.Last() != 9 {
		t.Errorf("it goes on: %v, %d, %v", said(found), next, missed)
	}
}

// A log gives back what it was given, and chooses as a filter does, however it is
// asked.
func TestLogChooses(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	l := NewLog(8<<20, 365*24*time.Hour)
	var all []Event
	day(700, func(events []Event) {
		l.Add(events[0].At, events)
		events[0].Seq = int64(len(all) + 1)
		all = append(all, events...)
	})
	if len(l.chunks) < 3 {
		t.Fatalf("only %d chunks", len(l.chunks))
	}
	for range 50 {
		e := all[random.IntN(len(all))]
		var f Filter
		for _, field := range []struct {
			to   *string
			from string
		}{{&f.Kind, e.Kind}, {&f.Name, e.Name}, {&f.Provider, e.Provider}, {&f.Label, e.Label}, {&f.Image, e.Image}, {&f.Request, e.Request}} {
			switch random.IntN(8) {
			case 0, 1:
				*field.to = field.from
			case 2:
				*field.to = "zuul/300-0000000007"
			}
		}
		f.Human = random.IntN(4) == 0
		checkFilter(t, l, all, f, random)
	}
	checkFilter(t, l, all, Filter{}, random)
}

func checkFilter(t *testing.T, l *Log, all []Event, f Filter, random *rand.Rand) {
	t.Helper()
	want := slices.DeleteFunc(slices.Clone(all), func(e Event) bool { return !f.Wants(&e) })
	var got []Event
	for seq := int64(0); ; {
		found, next, missed := l.After(seq, f, 1+random.IntN(3000))
		got = append(got, found...)
		if missed || next == seq {
			break
		}
		seq = next
	}
	alike(t, f, want, got)
	slices.Reverse(want)
	got = nil
	for {
		found, total := l.Newest(f, len(got), 1+random.IntN(3000))
		if total != len(want) {
			t.Fatalf("%+v: %d of %d", f, total, len(want))
		}
		if got = append(got, found...); len(found) == 0 {
			break
		}
	}
	alike(t, f, want, got)
}

func alike(t *testing.T, f Filter, want, got []Event) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%+v: %d events, want %d", f, len(got), len(want))
	}
	for i := range got {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("%+v: event %d: %s", f, i, cmp.Diff(want[i], got[i]))
		}
	}
}

// A log says from when on it has everything: from its first look on, or what is
// not too old, or what there was room for.
func TestSince(t *testing.T) {
	l := NewLog(600_000, 24*time.Hour)
	check := func(now, want time.Time, wantDropped bool) {
		t.Helper()
		if since, dropped := l.Since(now); !since.Equal(want) || dropped != wantDropped {
			t.Errorf("since %v, dropped %v, want %v, %v", since, dropped, want, wantDropped)
		}
	}
	l.Forget(at(0))
	check(at(0), time.Time{}, false)
	l.Add(at(10), []Event{{At: at(3), Kind: Node, Name: "of the past"}})
	check(at(60), at(10), false)
	check(at(10+24*60+5), at(15), false)
	check(at(60), at(10), false)

	ahead := at(24 * 60)
	l.Add(at(11), []Event{{At: ahead, Kind: Node, Name: "noted by a clock that is ahead"}})
	minute := 12
	for ; ; minute++ {
		if _, dropped := l.Since(at(minute)); dropped {
			break
		}
		if minute > 10_000 {
			t.Fatal("it grows without end")
		}
		var events []Event
		for i := range 100 {
			events = append(events, Event{At: at(minute), Kind: Node, Name: fmt.Sprint(minute, "/", i), Reason: fmt.Sprint("because of ", minute)})
		}
		l.Add(at(minute), events)
	}
	since, _ := l.Since(at(minute))
	kept, _ := l.Newest(Filter{}, 0, 1_000_000)
	oldest := kept[len(kept)-1]
	if oldest.At.Sub(since) < 0 || oldest.At.Sub(since) > time.Minute || !since.After(at(12)) {
		t.Errorf("all since %v, but the oldest is of %v", since, oldest.At)
	}
	check(since.Add(24*time.Hour), since, true)
	check(since.Add(24*time.Hour+time.Second), since.Add(time.Second), false)
	if l.size > 600_000+chunkBytes {
		t.Errorf("%d bytes", l.size)
	}
}
