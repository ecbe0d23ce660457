package daemon

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"poold/peers"
	"poold/store"
	"poold/store/kv"
)

// timekeeper is a peer whose machine's clock is off, and that can allocate. begun

// counts how often it has begun to.
func timekeeper(name string, records kv.KV, off time.Duration, begun *int) *Daemon {
	var d *Daemon
	d = newPeer(name, records, duty{key: "allocator", run: func(ctx context.Context, records *store.Owned) error {
		*begun++
		joined, cancel := d.view.Load().SubscribePeers()
		defer cancel()
		if err := d.tellTime(ctx, records); err != nil {
			return err
		}
		return d.setClock(ctx, records, joined)
	}})
	d.clock.Own = func() time.Time { return time.Now().Add(off) }
	return d
}

// apart is by how much the clocks of peers differ.
func apart(all ...*Daemon) time.Duration {
	first, last := all[0].clock.Now(), all[0].clock.Now()
	for _, d := range all[1:] {
		if now := d.clock.Now(); now.Before(first) {
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
		before := fast.clock.Now()
		stopRight, stopSlow := start(t, right), start(t, slow)
		pass(time.Second)
		if d := apart(fast, right, slow); d > peers.ClockSlack {
			t.Errorf("a second after they came their clocks are %v apart", d)
		}
		stopFast()
		pass(time.Minute)
		if took := right.clock.Now().Sub(before); apart(right, slow) > peers.ClockSlack || (took-61*time.Second).Abs() > 2*time.Second {
			t.Errorf("after the handover the clocks are %v apart, and in 61 s %v have passed", apart(right, slow), took)
		}
		again := timekeeper("again", mem, -3*time.Minute, &begun[3])
		stopAgain := start(t, again)
		pass(time.Second)
		if d := apart(again, right, slow); d > peers.ClockSlack {
			t.Errorf("a second after another came the clocks are %v apart", d)
		}
		stopAgain()
		stopSlow()
		stopRight()
	})
}

// Time does not go back where nobody who heard what it was is left, nor forward for
// ever with a machine that was years ahead.
func TestTimeDoesNotGoBack(t *testing.T) {
	for off, kept := range map[time.Duration]bool{10 * time.Minute: true, 2 * 365 * 24 * time.Hour: false} {
		synctest.Test(t, func(t *testing.T) {
			mem, begun := newModel(t), [2]int{}
			stop := start(t, timekeeper("fast", mem, off, &begun[0]))
			pass(time.Minute)
			stop()
			told := time.Now().Add(off)
			pass(time.Second)
			right := timekeeper("right", mem, 0, &begun[1])
			defer start(t, right)()
			pass(time.Minute)
			if now := right.clock.Now(); now.After(told) != kept || begun[1] != 1 {
				t.Errorf("%v after the last peer ended, that was %v ahead, it is %v; %d duties began", time.Minute, off, now.Sub(told), begun[1])
			}
		})
	}
}

// A peer whose clock was wrong begins its duties anew.
func TestDutiesBeginAnewWithAnotherTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, begun := newModel(t), [2]int{}
		first, second := timekeeper("first", mem, 0, &begun[0]), newPeer("second", mem)
		second.clock.Own = func() time.Time { return time.Now().Add(-10 * time.Minute) }
		w := newWork()
		second.enforce(&setup{cfg: second.cfg, duties: []duty{w.duty("provider/p")}})
		defer start(t, second)()
		pass(time.Minute)
		defer start(t, first)()
		pass(time.Minute)
		w.want(t, 2, 1)
		if d := apart(first, second); d > peers.ClockSlack {
			t.Errorf("the clocks are apart by %v", d)
		}
	})
}
