package sim

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"poold/store/kv"
)

// callTimeout is how long a call over a cut network hangs.
const callTimeout = 5 * time.Second

var (
	errLost = errors.New("lost by the simulator")
	// errAbandoned says that nobody waits for the answer any more.
	errAbandoned = errors.New("abandoned on the way")
)

// link is how one process reaches etcd: late, not at all, or without hearing
// what came of it.
type link struct {
	w     *world
	who   string
	proc  *process
	draws counter
	// offset is how much the process' clock is ahead of true time.
	offset time.Duration
	// faulty says that single calls fail, too.
	faulty bool
	// die kills the process, and is nil for one that does not die here.
	die func()
	// lease is the last one granted.
	lease atomic.Int64
}

var _ kv.KV = (*link)(nil)

// dice is the randomness of the next event of a name.
func (l *link) dice(name string) *dice {
	return l.w.seed.dice("link", l.who, name, l.draws.next(name))
}

// trip is the way of one message.
func trip(d *dice) time.Duration { return d.between(150*time.Microsecond, 1500*time.Microsecond) }

// there takes a call to etcd. An error says that it never got there.
func (l *link) there(ctx context.Context, name string) (*dice, error) {
	if !settled(ctx) || !l.proc.lives() {
		return nil, fmt.Errorf("%w: %w", kv.ErrUnavailable, errLost)
	}
	d := l.dice(name)
	l.proc.alive(d)
	l.perhapsDie(d)
	delay := trip(d)
	if l.hit(d, FaultSlow) {
		delay += d.between(time.Second, 8*time.Second)
	}
	sent := wait(ctx, delay)
	if cut := l.proc.isolated(); cut > 0 {
		wait(ctx, min(cut, callTimeout)+trip(d))
		return d, fmt.Errorf("%w: %w", kv.ErrUnavailable, errLost)
	}
	if !sent || !l.proc.lives() {
		time.Sleep(trip(d)) // what ends together arrives one after the other
		return d, fmt.Errorf("%w: %w", kv.ErrUnavailable, errAbandoned)
	}
	if l.hit(d, FaultUnavailable) {
		return d, fmt.Errorf("%w: %w", kv.ErrUnavailable, errLost)
	}
	return d, nil
}

// back takes an answer home, and returns an error if it is lost.
func (l *link) back(ctx context.Context, d *dice) error {
	came := wait(ctx, trip(d))
	if !l.proc.alive(d) || !came || l.proc.isolated() > 0 {
		return fmt.Errorf("%w: %w", errLost, context.Cause(ctx))
	}
	l.perhapsDie(d)
	if !l.proc.lives() {
		return errLost
	}
	return nil
}

// perhapsDie kills the process between two steps.
func (l *link) perhapsDie(d *dice) {
	if l.faulty && l.die != nil && l.w.storm() && d.chance(l.w.odds.die) {
		time.Sleep(trip(d)) // whoever calls at the same moment has called
		l.die()
	}
}

// perhapsFreeze stops the process between its decision to write and the write,
// often for so long that somebody else has taken over by then.
func (l *link) perhapsFreeze(ctx context.Context, name string) {
	if !l.faulty || !l.w.storm() || !settled(ctx) {
		return
	}
	if d := l.dice(name); d.chance(l.w.odds.freeze) {
		time.Sleep(trip(d)) // whoever calls at the same moment has called
		l.w.judge.struckPeer(l.who, FaultFreeze)
		l.proc.freeze()
		l.w.later(d.between(leaseTTL/2, 3*leaseTTL), l.proc.unfreeze)
	}
}

// hit decides whether a fault strikes now.
func (l *link) hit(d *dice, kind Fault) bool {
	if !l.faulty || !l.w.storm() || !d.chance(l.w.odds.link[kind]) {
		return false
	}
	l.w.judge.struckPeer(l.who, kind)
	return true
}

// Get implements kv.KV.
func (l *link) Get(ctx context.Context, key string) (kv.Item, error) {
	d, err := l.there(ctx, "get "+key)
	if err != nil {
		return kv.Item{}, err
	}
	it, err := l.w.kv.Get(context.WithoutCancel(ctx), key)
	if lost := l.back(ctx, d); lost != nil {
		return kv.Item{}, fmt.Errorf("%w: %w", kv.ErrUnavailable, lost)
	}
	return l.read(it), err
}

// List implements kv.KV.
func (l *link) List(ctx context.Context, prefix string) ([]kv.Item, int64, error) {
	d, err := l.there(ctx, "list "+prefix)
	if err != nil {
		return nil, 0, err
	}
	items, revision, err := l.w.kv.List(context.WithoutCancel(ctx), prefix)
	if lost := l.back(ctx, d); lost != nil {
		return nil, 0, fmt.Errorf("%w: %w", kv.ErrUnavailable, lost)
	}
	for i := range items {
		items[i] = l.read(items[i])
	}
	return items, revision, err
}

// Commit implements kv.KV.
func (l *link) Commit(ctx context.Context, txn kv.Txn) (int64, bool, error) {
	txn = l.write(txn)
	l.perhapsFreeze(ctx, "freeze "+nameOf(txn))
	d, err := l.there(ctx, "commit "+nameOf(txn))
	unknown := fmt.Errorf("%w: %w", kv.ErrUnknown, errLost)
	if errors.Is(err, errAbandoned) {
		if d.chance(2) {
			_, _, _ = l.commit(ctx, txn) // nobody is told
		}
		return 0, false, unknown
	}
	if err != nil {
		return 0, false, err
	}
	switch {
	case l.hit(d, FaultCommitDropped):
		return 0, false, unknown
	case l.hit(d, FaultCommitLate):
		l.w.later(d.between(time.Second, 4*time.Second), func() { _, _, _ = l.commit(ctx, txn) })
		wait(ctx, d.between(100*time.Millisecond, time.Second))
		return 0, false, unknown
	}
	revision, done, err := l.commit(ctx, txn)
	if l.hit(d, FaultReplyLost) || l.back(ctx, d) != nil {
		return 0, false, unknown
	}
	return revision, done, err
}

// commit does a transaction and tells the judge whose it was, before anybody
// can have seen it.
func (l *link) commit(ctx context.Context, txn kv.Txn) (int64, bool, error) {
	if l.w.bug.txn != nil {
		l.w.bug.txn(&txn)
	}
	l.w.judge.mu.Lock()
	defer l.w.judge.mu.Unlock()
	revision, done, err := l.w.kv.Commit(context.WithoutCancel(ctx), txn)
	if err == nil && done {
		l.w.judge.writers[revision] = l.who
	}
	return revision, done, err
}

func nameOf(txn kv.Txn) string {
	var b strings.Builder
	for _, op := range txn.Then {
		b.WriteString(op.Key)
		b.WriteByte(' ')
		b.WriteString(strconv.Itoa(len(op.Value)))
		b.WriteByte(' ')
	}
	return b.String()
}

// Watch implements kv.KV. What is on its way when the network is cut comes
// later, or, if etcd has forgotten it by then, never.
func (l *link) Watch(ctx context.Context, prefix string, from int64) <-chan kv.Batch {
	out := make(chan kv.Batch)
	// Each watch counts its own: two of the same keys hear of a change at once.
	name := "watch " + prefix + " " + l.draws.next("watch "+prefix) + " "
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(out)
		defer cancel()
		for b := range l.w.kv.Watch(ctx, prefix, from) {
			d := l.dice(name)
			delay := trip(d)
			if l.hit(d, FaultSlow) {
				delay += d.between(time.Second, 8*time.Second)
			}
			wait(ctx, delay)
			if cut := l.proc.isolated(); cut > 0 {
				wait(ctx, cut+trip(d))
			}
			if !l.proc.alive(d) || ctx.Err() != nil {
				return
			}
			if l.hit(d, FaultWatchBroken) {
				b = kv.Batch{Err: kv.ErrUnavailable}
			}
			if errors.Is(b.Err, kv.ErrCompacted) {
				l.w.judge.struckPeer(l.who, FaultCompacted)
			}
			for i := range b.Events {
				b.Events[i].Item = l.read(b.Events[i].Item)
			}
			shake()
			select {
			case out <- b:
			case <-ctx.Done():
				return
			}
			if b.Err != nil {
				return
			}
		}
	}()
	return out
}

// Grant implements kv.KV.
func (l *link) Grant(ctx context.Context, ttl time.Duration) (kv.LeaseID, time.Duration, error) {
	d, err := l.there(ctx, "grant")
	if err != nil {
		return 0, 0, err
	}
	id, ttl, err := l.w.kv.Grant(context.WithoutCancel(ctx), ttl)
	if lost := l.back(ctx, d); lost != nil {
		return 0, 0, fmt.Errorf("%w: %w", kv.ErrUnknown, lost)
	}
	l.lease.Store(int64(id))
	return id, ttl, err
}

// Renew implements kv.KV. The lease of a client that died is not renewed.
func (l *link) Renew(ctx context.Context, id kv.LeaseID) (time.Duration, error) {
	d, err := l.there(ctx, "renew "+strconv.Itoa(int(id)))
	if !l.proc.lives() {
		return 0, kv.ErrNotFound
	}
	if err != nil {
		return 0, err
	}
	ttl, err := l.w.kv.Renew(context.WithoutCancel(ctx), id)
	if lost := l.back(ctx, d); lost != nil {
		return 0, fmt.Errorf("%w: %w", kv.ErrUnavailable, lost)
	}
	return ttl, err
}

// Revoke implements kv.KV.
func (l *link) Revoke(ctx context.Context, id kv.LeaseID) error {
	d, err := l.there(ctx, "revoke "+strconv.Itoa(int(id)))
	if err != nil {
		return err
	}
	err = l.w.kv.Revoke(context.WithoutCancel(ctx), id)
	if lost := l.back(ctx, d); lost != nil {
		return fmt.Errorf("%w: %w", kv.ErrUnknown, lost)
	}
	return err
}

// read shows an item as a process reads it whose clock is off: what others
// stamped seems as much too early or too late.
func (l *link) read(it kv.Item) kv.Item {
	if l.offset != 0 {
		it.Value = shift(it.Value, -l.offset)
	}
	return it
}

// write turns what such a process stamps into what others read.
func (l *link) write(txn kv.Txn) kv.Txn {
	if l.offset == 0 {
		return txn
	}
	then := make([]kv.Op, len(txn.Then))
	for i, op := range txn.Then {
		then[i] = op
		then[i].Value = shift(op.Value, l.offset)
	}
	txn.Then = then
	return txn
}

// shift moves every time in a JSON value by whole seconds. A fraction and
// whatever else is there keeps its bytes, so that shifting back restores them.
func shift(value []byte, by time.Duration) []byte {
	const layout = "2006-01-02T15:04:05"
	if len(value) == 0 {
		return value
	}
	out := make([]byte, len(value))
	copy(out, value)
	for i := 0; i+1+len(layout) < len(out); i++ {
		if out[i] != '"' || out[i+1] != '2' || out[i+5] != '-' || out[i+11] != 'T' {
			continue
		}
		text := out[i+1 : i+1+len(layout)]
		if at, err := time.Parse(layout, string(text)); err == nil {
			copy(text, at.Add(by).Format(layout))
		}
	}
	return out
}
