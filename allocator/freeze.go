package allocator

import (
	"fmt"
	"time"

	"poold/pool"
)

// When launches fail alike in one cloud, the cloud is at fault, and breakers
// look after it. When they fail alike in all clouds at the same time, we are: a
// network of ours is down, an image is bad, a clock is wrong. To go on launching
// and deleting is of no use then. Canaries that fail only do their work.
const (
	// alikeWindow is how far back failures count, and alikeMin how many nodes,
	// in more than one provider, must have failed alike.
	alikeWindow = 10 * time.Minute
	alikeMin    = 10
	// alikeShare is the percentage of all launches that must have failed alike,
	// in each of the providers.
	alikeShare = 80
	// alikePause is how long nothing is launched after the newest of them.
	alikePause = 2 * time.Minute
)

// freeze finds out whether nothing may be launched anywhere, and why.
func (d *decider) freeze() {
	if f := d.snap.Freeze; f != nil {
		d.plan.Frozen = f.Text()
		return
	}
	if kind, newest := d.failingAlike(); kind != "" {
		until := newest.Add(alikePause)
		d.wake(until)
		d.plan.Frozen = fmt.Sprintf("launches in all providers fail alike (%s), which is probably our own fault; "+
			"launching goes on at %s", kind, until.Format("15:04:05"))
	}
}

// outcomes are how the launches of a provider ended.
type outcomes struct {
	total  int
	failed map[pool.Kind]int
}

// failingAlike returns the kind of failure that nearly all launches in all
// providers ended with lately, and when the newest of them did; or "".
func (d *decider) failingAlike() (pool.Kind, time.Time) {
	var last *pool.Node
	var newest time.Time
	for _, n := range d.snap.Nodes {
		if n.Canary || !launchFailed(n) || !ourFault(n.Failure) {
			continue
		}
		if at := failedAt(n); at.After(newest) {
			last, newest = n, at
		}
	}
	if last == nil || !d.now.Before(newest.Add(alikePause)) {
		return "", newest
	}
	ended := d.ended(newest.Add(-alikeWindow))
	sum := 0
	for _, o := range ended {
		n := o.failed[last.Failure]
		if 100*n < alikeShare*o.total {
			return "", newest
		}
		sum += n
	}
	if len(ended) < 2 || sum < alikeMin {
		return "", newest
	}
	return last.Failure, newest
}

// ended counts the launches that ended after a time, by provider.
func (d *decider) ended(after time.Time) map[string]*outcomes {
	ended := map[string]*outcomes{}
	for _, n := range d.snap.Nodes {
		at, ready := n.Entered(pool.NodeReady)
		failed := !ready && launchFailed(n)
		if failed {
			at = failedAt(n)
		}
		if n.Canary || !ready && !failed || !at.After(after) {
			continue
		}
		o := ended[n.Provider]
		if o == nil {
			o = &outcomes{failed: map[pool.Kind]int{}}
			ended[n.Provider] = o
		}
		o.total++
		if failed {
			o.failed[n.Failure]++
		}
	}
	return ended
}

// ourFault tells whether a kind of failure, if it were everywhere, would be our
// fault. That all clouds are full is not.
func ourFault(k pool.Kind) bool {
	switch k {
	case pool.KindInvalid, pool.KindUnauthorized, pool.KindNotFound, pool.KindTransient, pool.KindUnclassified,
		pool.KindTimeout, pool.KindUnreachable:
		return true
	case pool.KindCapacity, pool.KindVanished, pool.KindQuota, pool.KindRateLimited, pool.KindConflict,
		pool.KindAmbiguous, pool.KindNeverSeen:
	}
	return false
}
