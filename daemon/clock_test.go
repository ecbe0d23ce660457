package daemon

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"poold/store"
	"poold/store/kv"
)

// timekeeper is a peer whose machine's clock is off, and that can allocate. begun
// counts how often it has begun to.
func timekeeper(name string, records kv.KV, off time.Duration, begun *int) *Daemon {
	var d *Daemon
	d = newPeer(name, records, duty{key: "allocator", run: func(ctx context.Context, records *store.Owned) error {
		*begun++
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return d.setClock(ctx, records) })
		return g.Wait()
	}})
	d.clock.own = func() time.Time { return time.Now().Add(off) }
	return d
}

// apart is by how much the clocks of peers differ.
func apart(peers ...*Daemon) time.Duration {
	first, last := peers[0].clock.now(), peers[0].clock.now()
	for _, d := range peers[1:] {
		if now := d.clock.now(); now.Before(first) {
			first = now
		} else if now.After(last) {
			last = now
		}
	}
	return last.Sub(first)
}

// Peers whose machines' clocks are ten minutes apart agree on the time as soon as
// they are there, and go on with it when the one that told it ends.
func TestClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, begun := newModel(t), [4]int{}
		fast := timekeeper("fast", mem, 10*time.Minute, &begun[0])
		right := timekeeper("right", mem, 0, &begun[1])
		slow := timekeeper("slow", mem, -10*time.Minute, &begun[2])
		stopFast := start(t, fast)
		pass(time.Minute)
		before := fast.clock.now()
		stopRight, stopSlow := start(t, right), start(t, slow)
		pass(time.Second)
		if d := apart(fast, right, slow); d > clockSlack {
			t.Errorf("a second after they came their clocks are %v apart", d)
		}
		stopFast()
		pass(time.Minute)
		if took := right.clock.now().Sub(before); apart(right, slow) > clockSlack || (took-61*time.Second).Abs() > 2*time.Second {
			t.Errorf("after the handover the clocks are %v apart, and in 61 s %v have passed", apart(right, slow), took)
		}
		again := timekeeper("again", mem, -3*time.Minute, &begun[3])
		stopAgain := start(t, again)
		pass(time.Second)
		if d := apart(again, right, slow); d > clockSlack {
			t.Errorf("a second after another came the clocks are %v apart", d)
		}
		stopAgain()
		stopSlow()
		stopRight()
	})
}

// A peer that was told a wrong time goes back to that of its own machine within a
// day, and the others follow it.
func TestAWrongClockHeals(t *testing.T) {
	for _, off := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		at := time.Unix(1_000_000, 0)
		first, second := &clock{own: func() time.Time { return at }}, &clock{own: func() time.Time { return at }}
		first.hear(at.Add(off))
		for end := at.Add(24 * time.Hour); at.Before(end); at = at.Add(beatEvery) {
			before := first.now()
			told := first.tell()
			if went := told.Sub(before).Abs(); went > beatEvery/mending {
				t.Fatalf("the time went by %v at once", went)
			}
			second.hear(told)
			if d := second.now().Sub(told).Abs(); d > 2*clockSlack {
				t.Fatalf("the clocks are %v apart", d)
			}
		}
		if first.ahead != 0 || second.ahead.Abs() > clockSlack {
			t.Errorf("a day later the clocks are %v and %v off", first.ahead, second.ahead)
		}
	}
}

// Messages that are late do not set the clock back, and a peer that was wrong
// begins its duties anew.
func TestClockIsSetByWhoIsInTime(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	c := &clock{own: func() time.Time { return at }}
	for i, b := range []struct{ says, changed, ahead time.Duration }{
		{time.Minute, time.Minute, time.Minute},
		{time.Second, 0, time.Minute},                // a message that was under way for a minute
		{time.Minute + clockSlack/2, 0, time.Minute}, // nobody minds
		{time.Hour, 59 * time.Minute, time.Hour},     // never early
		{0, 0, time.Hour},
		{0, 0, time.Hour},
		{0, 0, time.Hour},  // perhaps late, all of them
		{0, -time.Hour, 0}, // no
	} {
		if changed := c.hear(at.Add(b.says)); changed != b.changed || c.ahead != b.ahead {
			t.Errorf("%d: changed by %v to %v, want %v to %v", i, changed, c.ahead, b.changed, b.ahead)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		mem, begun := newModel(t), [2]int{}
		first, second := timekeeper("first", mem, 0, &begun[0]), newPeer("second", mem)
		second.clock.own = func() time.Time { return time.Now().Add(-10 * time.Minute) }
		w := newWork()
		second.enforce(&setup{cfg: second.cfg, duties: []duty{w.duty("provider/p")}})
		defer start(t, second)()
		pass(time.Minute)
		defer start(t, first)()
		pass(time.Minute)
		w.want(t, 2, 1)
		if d := apart(first, second); d > clockSlack {
			t.Errorf("the clocks are apart by %v", d)
		}
	})
}
