package pool

import (
	"testing"
	"time"
)

func TestFloor(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	week := []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday}
	l := Label{MinReady: 2, Schedule: []Period{
		{Days: week, From: 8 * time.Hour, To: 18 * time.Hour, Location: berlin, MinReady: 10},
		{Days: []time.Weekday{time.Friday}, From: 16 * time.Hour, To: 2 * time.Hour, Location: berlin, MinReady: 1},
		{Days: []time.Weekday{time.Sunday}, From: 2*time.Hour + 30*time.Minute, To: 4 * time.Hour, Location: berlin, MinReady: 5},
	}}
	for at, want := range map[string]int{
		"2026-01-05T06:59:59Z": 2,  // Monday, 07:59 in winter
		"2026-01-05T07:00:00Z": 10, // 08:00
		"2026-01-05T16:59:59Z": 10,
		"2026-01-05T17:00:00Z": 2,  // over
		"2026-07-06T06:00:00Z": 10, // 08:00 in summer
		"2026-01-09T15:00:00Z": 1,  // Friday, 16:00: the last one counts
		"2026-01-10T00:59:00Z": 1,  // Saturday, 01:59 is of Friday's
		"2026-01-10T01:00:00Z": 2,
		"2026-01-09T00:30:00Z": 2, // Friday, 01:30 is not
		"2026-03-29T01:00:00Z": 5, // Sunday, 03:00, when 02:30 never came
		"2026-03-29T02:00:00Z": 2,
	} {
		now, _ := time.Parse(time.RFC3339, at)
		if got := l.Floor(now, 0); got != want {
			t.Errorf("%s: %d, want %d", at, got, want)
		}
	}
	l = Label{MinReady: 2, ReadyPercent: 25, MaxReady: 6}
	for inUse, want := range map[int]int{0: 2, 8: 2, 9: 3, 20: 5, 100: 6} {
		if got := l.Floor(time.Time{}, inUse); got != want {
			t.Errorf("%d in use: %d, want %d", inUse, got, want)
		}
	}
}
