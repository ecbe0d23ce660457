package guard

import (
	"context"
	"errors"
	"maps"
	"time"

	"go.uber.org/zap"

	"poold/cloud"
	"poold/pool"
)

// Records is what a guard needs of the store, as the owner of the group.
type Records interface {
	Snapshot() *pool.Snapshot
	// Apply writes as the owner. Its errors are those of package pool.
	Apply(ctx context.Context, w pool.Write) (int64, error)
}

// keepPause is the least time between two writes of what was learned.
const keepPause = time.Second

// TakeOver starts with empty buckets and with what the last owner learned: the
// pause that it was in is served in full, because nobody knows how much of it
// is over. What the cloud taught us remains. Call it before the first call as owner.
func (l *Limits) TakeOver(records Records) {
	l.Reset()
	p := records.Snapshot().Penalty(l.group)
	if p == nil {
		return
	}
	for service, perSecond := range p.Rates {
		limiter := l.limiter(cloud.Service(service))
		if _, taught := limiter.Learned(); !taught {
			limiter.Relearn(perSecond)
		}
	}
	if d := time.Duration(p.PauseMS) * time.Millisecond; d > 0 {
		l.log.Warn("a pause of the last owner is served", zap.Duration("pause", d))
		l.pause(d)
	}
}

// Inherit learns what the cloud taught the limits that one of its providers had
// until now: a provider that goes to another rate group is in the same cloud
// still. If another peer owned them it is on record, and a pause is served in
// full as at a takeover.
func (l *Limits) Inherit(from *Limits, records *pool.Snapshot) {
	rates, pause := map[string]float64{}, time.Duration(0)
	if p := records.Penalty(from.group); p != nil {
		maps.Copy(rates, p.Rates)
		pause = time.Duration(p.PauseMS) * time.Millisecond
	}
	own, left := from.penalty()
	maps.Copy(rates, own.Rates)
	if left > 0 {
		pause = left
	}
	for service, perSecond := range rates {
		l.limiter(cloud.Service(service)).Relearn(perSecond)
	}
	if pause > 0 {
		l.log.Warn("a pause of another group is served", zap.String("from", from.group), zap.Duration("pause", pause))
		l.pause(pause)
	}
}

// Keep writes what the cloud teaches, for the next owner, until ctx ends or the
// group is no longer owned: when a pause begins, and when it is over.
func (l *Limits) Keep(ctx context.Context, records Records) error {
	timer := time.NewTimer(0) // for what was learned before
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.learned:
		case <-timer.C:
		}
		next, err := l.save(ctx, records)
		if errors.Is(err, pool.ErrNotOwner) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			l.log.Warn("what the cloud taught was not written", zap.Error(err))
		}
		timer.Reset(next)
	}
}

// save writes the record if it says something else than it should, and returns
// when to look again if nothing is learned.
func (l *Limits) save(ctx context.Context, records Records) (time.Duration, error) {
	const never = 24 * time.Hour
	stored := records.Snapshot().Penalty(l.group)
	want, left := l.penalty()
	next := never
	if left > 0 {
		next = left
	}
	if same(stored, want) {
		return next, nil
	}
	change := pool.Create(want)
	if stored != nil {
		want.Record = stored.Record
		change = pool.Update(stored, want)
	}
	_, err := records.Apply(ctx, pool.Write{By: pool.Launcher, Penalties: []pool.Change[pool.Penalty]{change}})
	if err != nil || next < keepPause {
		next = keepPause
	}
	return next, err
}

// penalty is what should be on record, and how much of the pause is left.
func (l *Limits) penalty() (*pool.Penalty, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &pool.Penalty{V: pool.RecordVersion, Group: l.group, Rates: map[string]float64{}}
	left := time.Until(l.pausedUntil)
	if left > 0 {
		p.PauseMS = l.pauseLasts.Milliseconds()
	}
	for service, limiter := range l.limiters {
		if perSecond, learned := limiter.Learned(); learned {
			p.Rates[string(service)] = perSecond
		}
	}
	return p, left
}

// same tells whether the record need not be written: a rate that grows is no
// reason, a lower one is.
func same(stored, want *pool.Penalty) bool {
	if stored == nil {
		return want.PauseMS == 0 && len(want.Rates) == 0
	}
	for service, perSecond := range want.Rates {
		if known, ok := stored.Rates[service]; !ok || perSecond < known {
			return false
		}
	}
	return stored.PauseMS == want.PauseMS
}
