package allocator

import (
	"fmt"
	"math"

	"poold/pool"
)

// plenty stands for a headroom that nothing limits.
const plenty = 1 << 20

// believed is what a provider allows: its limits, lowered by quota faults.
func believed(q *pool.Quota) pool.Limits {
	if q.Lowered == nil {
		return q.Limits
	}
	l, o := q.Limits, q.Lowered
	return pool.Limits{
		Instances:   tighter(l.Instances, o.Instances),
		Cores:       tighter(l.Cores, o.Cores),
		RAMMiB:      tighter(l.RAMMiB, o.RAMMiB),
		Volumes:     tighter(l.Volumes, o.Volumes),
		VolumeGB:    tighter(l.VolumeGB, o.VolumeGB),
		FloatingIPs: tighter(l.FloatingIPs, o.FloatingIPs),
		Ports:       tighter(l.Ports, o.Ports),
	}
}

func tighter(a, b int64) int64 {
	switch {
	case a < 0:
		return b
	case b < 0:
		return a
	}
	return min(a, b)
}

// headroom is how many times want still fits.
func headroom(l *pool.Limits, used, want *pool.Resources) int64 {
	n := int64(plenty)
	n = min(n, room(l.Instances, used.Instances, want.Instances))
	n = min(n, room(l.Cores, used.Cores, want.Cores))
	n = min(n, room(l.RAMMiB, used.RAMMiB, want.RAMMiB))
	n = min(n, room(l.Volumes, used.Volumes, want.Volumes))
	n = min(n, room(l.VolumeGB, used.VolumeGB, want.VolumeGB))
	n = min(n, room(l.FloatingIPs, used.FloatingIPs, want.FloatingIPs))
	return min(n, room(l.Ports, used.Ports, want.Ports))
}

func room(limit, used, want int64) int64 {
	if limit < 0 || want <= 0 {
		return plenty
	}
	return max(0, (limit-used)/want)
}

// fits is Limits.Short without the name of what is short.
func fits(l *pool.Limits, used, want *pool.Resources) bool {
	return fit(l.Instances, used.Instances, want.Instances) && fit(l.Cores, used.Cores, want.Cores) &&
		fit(l.RAMMiB, used.RAMMiB, want.RAMMiB) && fit(l.Volumes, used.Volumes, want.Volumes) &&
		fit(l.VolumeGB, used.VolumeGB, want.VolumeGB) &&
		fit(l.FloatingIPs, used.FloatingIPs, want.FloatingIPs) && fit(l.Ports, used.Ports, want.Ports)
}

func fit(limit, used, want int64) bool { return limit < 0 || want <= 0 || used+want <= limit }

// ledger is what may be used and what is.
type ledger struct {
	limits pool.Limits
	used   pool.Resources
	// freeing is the part of used that is on its way out.
	freeing pool.Resources
}

func (l *ledger) fits(want *pool.Resources) bool      { return fits(&l.limits, &l.used, want) }
func (l *ledger) headroom(want *pool.Resources) int64 { return headroom(&l.limits, &l.used, want) }
func (l *ledger) book(r pool.Resources)               { l.used = l.used.Add(r) }

// fitsOnce tells whether want will fit when all that is freeing, and freed
// besides, is gone.
func (l *ledger) fitsOnce(freed, want pool.Resources) bool {
	used := l.used.Sub(l.freeing).Sub(freed)
	return fits(&l.limits, &used, &want)
}

// short says what is missing for want, for a reader.
func (l *ledger) short(want pool.Resources) string {
	return shortage(l.limits, l.used, want)
}

func shortage(l pool.Limits, used, want pool.Resources) string {
	what := l.Short(used, want)
	switch what {
	case "instances":
		return amounts(what, l.Instances, used.Instances, want.Instances)
	case "cores":
		return amounts(what, l.Cores, used.Cores, want.Cores)
	case "ram":
		return amounts("MiB of ram", l.RAMMiB, used.RAMMiB, want.RAMMiB)
	case "volumes":
		return amounts(what, l.Volumes, used.Volumes, want.Volumes)
	case "volume-gb":
		return amounts("GB of volumes", l.VolumeGB, used.VolumeGB, want.VolumeGB)
	case "floating-ips":
		return amounts("floating IPs", l.FloatingIPs, used.FloatingIPs, want.FloatingIPs)
	case "ports":
		return amounts(what, l.Ports, used.Ports, want.Ports)
	}
	return what
}

func amounts(what string, limit, used, want int64) string {
	return fmt.Sprintf("%d of %d %s in use, %d wanted", used, limit, what, want)
}

// bound is a count that may be unbounded: zero or less is any number.
func bound(limit int) int {
	if limit <= 0 {
		return math.MaxInt
	}
	return limit
}
