package store

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"poold/store/kv"
)

// Run lists the records, follows their changes, and begins again with pauses
// whenever etcd is away, until ctx ends; it returns the cause. Call it once.
func (v *View) Run(ctx context.Context) error {
	back := make(chan struct{}, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return v.keepUp(ctx, back) })
	g.Go(func() error { return v.probe(ctx, back) })
	return g.Wait()
}

// keepUp lists and watches for ever.
func (v *View) keepUp(ctx context.Context, back <-chan struct{}) error {
	pause := firstPause
	listed := false
	for ctx.Err() == nil {
		var err error
		if !listed {
			err = v.load(ctx)
		}
		if err == nil {
			listed = true
			v.heard(time.Now())
			before := v.at()
			err = v.watch(ctx, back)
			if v.at() != before {
				pause = firstPause
			}
		}
		if errors.Is(err, kv.ErrCompacted) || errors.Is(err, errWentBack) {
			listed = false
		}
		if ctx.Err() != nil {
			break
		}
		if pause < longestPause { // after that it is known
			v.store.log.Warn("records not followed", zap.Duration("pause", pause), zap.Error(err))
		}
		sleep(ctx, pause)
		pause = min(2*pause, longestPause)
	}
	return context.Cause(ctx)
}

// watch follows the changes until the watch ends, and returns why.
func (v *View) watch(ctx context.Context, back <-chan struct{}) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches := v.store.kv.Watch(ctx, v.store.keys.prefix, v.at())
	for {
		select {
		case b, ok := <-batches:
			if !ok {
				return context.Cause(ctx)
			}
			if b.Err != nil {
				return b.Err
			}
			v.follow(b)
			v.heard(time.Now())
		case <-back:
			return errWentBack
		}
	}
}

// probe asks now and then for the revision of etcd: a watch alone can neither
// tell an idle etcd from one that is away, nor one that was restored from a
// backup, on which it would wait in silence for a revision of the past.
func (v *View) probe(ctx context.Context, back chan<- struct{}) error {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		at := v.at() // before the call: the view may be ahead of its answer
		_, revision, err := v.store.kv.List(ctx, v.store.keys.installation())
		if err != nil {
			continue // the age of the last contact tells
		}
		v.heard(time.Now())
		if revision < at {
			select {
			case back <- struct{}{}:
			default:
			}
		}
	}
}

// sleep waits for a time or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// instant is a moment: by the clock of Go, which stands still while the machine
// is suspended, and how long it had been suspended by then.
type instant struct {
	wall      time.Time
	suspended time.Duration
}

func now() instant { return instant{time.Now(), suspended()} }

// elapsed is how much time has passed since i, suspension included. What is
// less than the clocks can be read apart is none: in a bubble of
// testing/synctest no real time gets in.
func (i instant) elapsed() time.Duration {
	n := now()
	slept := n.suspended - i.suspended
	if slept < 2*readTime {
		slept = 0
	}
	return n.wall.Sub(i.wall) + slept
}

// readTime is how far apart two clocks are read at most.
const readTime = time.Millisecond

// suspended is how long the machine has been suspended since it was started: by
// how much the clock since boot, which goes on then, is ahead of the one that
// does not.
func suspended() time.Duration {
	for {
		before := clock(unix.CLOCK_MONOTONIC)
		boot := clock(unix.CLOCK_BOOTTIME)
		if clock(unix.CLOCK_MONOTONIC)-before < readTime { // not held up in between
			return boot - before
		}
	}
}

func clock(id int32) time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(id, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
