package peers

import (
	"testing"
	"time"
)

// A peer that was told a wrong time goes back to that of its own machine within a
// day, and the others follow it.
func TestAWrongClockHeals(t *testing.T) {
	for _, off := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		at := time.Unix(1_000_000, 0)
		first, second := &Clock{Own: func() time.Time { return at }}, &Clock{Own: func() time.Time { return at }}
		first.Hear(at.Add(off))
		for end := at.Add(24 * time.Hour); at.Before(end); at = at.Add(BeatEvery) {
			before := first.Now()
			told := first.Tell()
			if went := told.Sub(before).Abs(); went > BeatEvery/mending {
				t.Fatalf("the time went by %v at once", went)
			}
			second.Hear(told)
			if d := second.Now().Sub(told).Abs(); d > 2*ClockSlack {
				t.Fatalf("the clocks are %v apart", d)
			}
		}
		if first.ahead != 0 || second.ahead.Abs() > ClockSlack {
			t.Errorf("a day later the clocks are %v and %v off", first.ahead, second.ahead)
		}
	}
}

// Messages that are late do not set the clock back.
func TestClockIsSetByWhoIsInTime(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	c := &Clock{Own: func() time.Time { return at }}
	for i, b := range []struct{ says, changed, ahead time.Duration }{
		{time.Minute, time.Minute, time.Minute},
		{time.Second, 0, time.Minute},                // a message that was under way for a minute
		{time.Minute + ClockSlack/2, 0, time.Minute}, // nobody minds
		{time.Hour, 59 * time.Minute, time.Hour},     // never early
		{0, 0, time.Hour},
		{0, 0, time.Hour},
		{0, 0, time.Hour},  // perhaps late, all of them
		{0, -time.Hour, 0}, // no
	} {
		if changed := c.Hear(at.Add(b.says)); changed != b.changed || c.ahead != b.ahead {
			t.Errorf("%d: changed by %v to %v, want %v to %v", i, changed, c.ahead, b.changed, b.ahead)
		}
	}
}

// What was told before one listened is a time that is over: it sets the clock
// forward, never back, and not beyond what a clock may well be wrong by.
func TestNotBefore(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	for told, want := range map[time.Duration]time.Duration{
		-time.Hour: 0, ClockSlack: 0, time.Minute: time.Minute, believed: believed, believed + 1: 0,
	} {
		c := &Clock{Own: func() time.Time { return at }}
		if changed := c.NotBefore(at.Add(told)); changed != want || !c.Now().Equal(at.Add(want)) {
			t.Errorf("told %v: changed by %v to %v, want %v", told, changed, c.Now().Sub(at), want)
		}
		c.Hear(at.Add(2 * believed))
		if changed := c.NotBefore(at.Add(told)); changed != 0 {
			t.Errorf("told %v and then heard more: changed by %v", told, changed)
		}
	}
	c := &Clock{Own: func() time.Time { return at }}
	if changed := c.NotBefore(time.Time{}); changed != 0 {
		t.Errorf("nothing was told, and the clock is changed by %v", changed)
	}
}
