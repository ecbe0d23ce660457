package launcher

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"poold/cloud"
	"poold/internal/sleep"
	"poold/pool"
)

// The causes that end a reach.
var (
	errBootTimeout   = errors.New("not up within the boot timeout")
	errLaunchTimeout = errors.New("not up within the launch timeout")
	errNotWanted     = errors.New("not to be reached any more")
)

// Target is where a node is to be reached.
type Target struct {
	IP   string
	Port int
	// Type is the connection type: "ssh", "network_cli" or "winrm".
	Type string
}

// Reach waits until the target answers, trying again until ctx ends, whose
// cause it then returns. For the connection types that speak SSH it returns
// the host keys, each as "type base64", sorted; for others none. It does not
// log in. It is safe for concurrent use.
type Reach func(ctx context.Context, t Target) ([]string, error)

// connectAddress chooses where to connect to: a floating IP, else a public
// IPv4 address, else any IPv4 address, else IPv6. It returns "" if there is
// none.
func connectAddress(addresses []pool.Address) string {
	best, rank := "", 0
	for _, a := range addresses {
		ip, err := netip.ParseAddr(a.IP)
		if err != nil {
			continue
		}
		score := 1
		switch {
		case a.Floating:
			score = 4
		case ip.Is4() && !ip.IsPrivate():
			score = 3
		case ip.Is4():
			score = 2
		}
		if score > rank {
			best, rank = a.IP, score
		}
	}
	return best
}

// reached is how reaching for an instance ended.
type reached struct {
	// asked is the write of the intention to expose, if one was made.
	asked     []written
	addresses []pool.Address
	// exposed says that one of them is a floating IP that it got just now.
	exposed  bool
	ip       string
	hostKeys []string
	err      error
	// output is what the node said about whether it is ready.
	output string
	// story is how it went, for the timeline.
	story string
}

// startReach makes a node ready, or fails it. The boot timeout counts from
// here: time in which nobody tried is not the node's fault.
func (r *run) startReach(ctx context.Context, e reaching, now time.Time) {
	t, n, inst := e.t, e.t.node, e.t.inst
	stopCtx, stop := context.WithCancelCause(ctx)
	t.busy, t.stop = true, func() { stop(errNotWanted) }
	t.marks = marks{active: t.marks.active}
	r.spawn(ctx, func(context.Context) effect {
		defer stop(nil)
		launch, cancelLaunch := bound(stopCtx, e.deadline)
		defer cancelLaunch()
		boot, cancelBoot := r.bootBound(launch)
		defer cancelBoot()
		got := reached{addresses: inst.Addresses}
		r.address(boot, n, inst, now, &got)
		// The loop has the clock.
		if got.exposed && !r.deliver(ctx, func(_ *run, at time.Time) { t.marks.addressed = at }) {
			return nil
		}
		if got.err == nil {
			r.connect(boot, n, inst, now, &got)
		}
		kind := failureOf(boot, got.err)
		got.story = "reachable"
		if got.err == nil && checks(r.labelSpec(n)) {
			if !r.deliver(ctx, func(_ *run, at time.Time) {
				got.story += " after " + since(now, at)
				t.marks.reachable = at
			}) {
				return nil
			}
			kind = r.confirm(launch, boot, n, inst, &got)
			return func(r *run, end time.Time) {
				r.checked(&got, now, end)
				t.marks.reached(&got, now, end)
				r.reachEnded(ctx, t, &got, kind, end)
			}
		}
		return func(r *run, end time.Time) {
			t.marks.reached(&got, now, end)
			r.reachEnded(ctx, t, &got, kind, end)
		}
	})
}

// checked puts on record how long a node took that had more to do than to
// answer.
func (*run) checked(got *reached, began, end time.Time) {
	if got.err == nil {
		got.story += ", ready after " + since(began, end)
		return
	}
	got.err = fmt.Errorf("%s, failed after %s: %w", got.story, since(began, end), got.err)
}

func since(began, at time.Time) string { return at.Sub(began).Round(time.Millisecond).String() }

// reachEnded takes over how reaching for an instance ended.
func (r *run) reachEnded(ctx context.Context, t *track, got *reached, kind pool.Kind, end time.Time) {
	t.busy, t.stop = false, nil
	r.settled(got.asked)(r, end)
	switch {
	case t.node.State != pool.NodeBuilding || t.gone || r.fatal != nil:
	case got.err == nil:
		t.arrived = got
	case kind != "":
		r.startFail(ctx, failing{t: t, kind: kind, reason: got.err.Error(), output: got.output}, end)
	}
}

// bound ends a launch at its deadline; a zero one is none.
func bound(ctx context.Context, deadline time.Time) (context.Context, context.CancelFunc) {
	if deadline.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadlineCause(ctx, deadline, errLaunchTimeout)
}

// bootBound ends a boot that takes too long.
func (l *Launcher) bootBound(ctx context.Context) (context.Context, context.CancelFunc) {
	if l.provider.BootTimeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, l.provider.BootTimeout, errBootTimeout)
}

// failureOf is the kind of failure that a reach ended with, or "" if the node
// is not to blame: it was not wanted any more, or a record was not written.
func failureOf(ctx context.Context, err error) pool.Kind {
	if err == nil {
		return ""
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errBootTimeout), errors.Is(cause, errReadyTimeout):
		return pool.KindUnreachable
	case errors.Is(cause, errLaunchTimeout):
		return pool.KindTimeout
	case cause != nil, errors.Is(err, errNotWritten):
		return ""
	}
	if kind := cloud.KindOf(err); kind != cloud.Unclassified {
		return kind
	}
	return pool.KindUnreachable
}

// address gets an instance the address to connect to.
func (l *Launcher) address(ctx context.Context, n *pool.Node, inst cloud.Instance, now time.Time, got *reached) {
	if got.err = l.expose(ctx, n, inst, now, got); got.err != nil {
		return
	}
	if got.ip, got.err = l.choose(ctx, inst, got.addresses); got.err != nil {
		return
	}
	if got.ip == "" {
		got.err = &cloud.Error{Kind: pool.KindUnreachable, Op: "connect", Err: errors.New("the instance has no address")}
	}
}

// connect waits until an instance that has its address answers.
func (l *Launcher) connect(ctx context.Context, n *pool.Node, inst cloud.Instance, now time.Time, got *reached) {
	if l.prover != nil {
		l.prove(ctx, inst, now, got)
		return
	}
	if ls := l.labelSpec(n); ls == nil || ls.HostKeyChecking {
		got.hostKeys, got.err = l.reacher(ctx, Target{IP: got.ip, Port: n.Port, Type: n.Type})
	}
}

// choose returns the address to connect to: the one that the driver prefers,
// or the best of what there is.
func (l *Launcher) choose(ctx context.Context, inst cloud.Instance, addresses []pool.Address) (string, error) {
	ip := ""
	if l.addresser != nil {
		inst.Addresses = addresses
		err := l.persist(ctx, func(ctx context.Context) (err error) {
			ip, err = l.addresser.InterfaceIP(ctx, inst)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	if ip == "" {
		ip = connectAddress(addresses)
	}
	return ip, nil
}

// The pauses between attempts to get a floating IP.
const (
	exposeRetryMin = time.Second
	exposeRetryMax = 15 * time.Second
)

// expose gives an instance a floating IP if it needs one. That it will be
// asked for is on record first: whoever deletes the node looks for it then.
func (l *Launcher) expose(ctx context.Context, n *pool.Node, inst cloud.Instance, now time.Time, got *reached) error {
	pl := l.provider.Pool(n.Pool)
	if l.exposer == nil || pl == nil || !pl.AutoFloatingIP {
		return nil
	}
	needs := false
	err := l.persist(ctx, func(ctx context.Context) (err error) {
		needs, err = l.exposer.NeedsFloatingIP(ctx, inst)
		return err
	})
	if err != nil || !needs {
		return err
	}
	again := n.ExposeAsked != nil
	if !again {
		after := n.Clone()
		at := now.UTC().Truncate(time.Millisecond)
		after.ExposeAsked = &at
		got.asked = l.commitNodes(ctx, []pool.Change[pool.Node]{pool.Update(n, after)})
		if err := got.asked[0].err; err != nil {
			return errors.Join(errNotWritten, err)
		}
	}
	mark := cloud.Mark{
		Installation: l.installation, Provider: l.provider.Name, Batch: n.Batch, Node: string(n.ID),
		Revision: inst.Mark.Revision,
	}
	var address pool.Address
	err = l.persist(ctx, func(ctx context.Context) (err error) {
		address, err = l.exposer.Expose(ctx, cloud.ExposeSpec{InstanceID: inst.ID, Mark: mark, Again: again})
		again = true
		return err
	})
	if err == nil {
		got.addresses, got.exposed = append(slices.Clone(got.addresses), address), true
	}
	return err
}

// errNotWritten says that a reach ended because the store did not take a write.
var errNotWritten = errors.New("the intention was not written")

// persist repeats a call while it may succeed later, until ctx ends.
func (*Launcher) persist(ctx context.Context, try func(ctx context.Context) error) error {
	for pause := exposeRetryMin; ; pause = min(2*pause, exposeRetryMax) {
		callCtx, cancel := call(ctx, cloud.LaneFinish)
		err := try(callCtx)
		cancel()
		switch cloud.KindOf(err) {
		case cloud.Transient, cloud.RateLimited, cloud.Conflict, cloud.Ambiguous, cloud.Unclassified:
		case "", cloud.Quota, cloud.Capacity, cloud.NotFound, cloud.Unauthorized, cloud.Invalid,
			pool.KindNeverSeen, pool.KindTimeout, pool.KindUnreachable, pool.KindVanished:
			return err
		}
		if ended := sleep.For(ctx, max(pause, retryAfter(err))); ended != nil {
			return fmt.Errorf("%w: %w", ended, err)
		}
	}
}

// describe puts everything that is known about the instance into the record of
// a node that is ready.
func (a *reached) describe(n *pool.Node, inst *cloud.Instance) {
	n.InstanceID, n.HostID, n.Volumes = inst.ID, inst.HostID, inst.Volumes
	if inst.AZ != "" {
		n.AZ = inst.AZ
	}
	n.Addresses, n.InterfaceIP, n.HostKeys = a.addresses, a.ip, a.hostKeys
}
