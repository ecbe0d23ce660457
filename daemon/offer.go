package daemon

import (
	"context"
	"time"

	"go.uber.org/zap"

	"poold/internal/sleep"
	"poold/pool"
	"poold/store"
)

// offersLook is how often it is looked whether what a peer had can go.
const offersLook = time.Minute

// united is what all peers have together.
func (d *Daemon) united() *pool.Catalog {
	return d.union.Catalog(d.catalog(), d.view.Load().Snapshot())
}

// offer shows the others what this peer's file has, if that is not what etcd
// says already.
func (d *Daemon) offer(ctx context.Context, own *pool.Catalog) error {
	view := d.view.Load()
	if err := view.WaitFor(ctx, 1); err != nil {
		return err
	}
	mine := &pool.Offer{Peer: d.name, Catalog: own.Offered()}
	for _, o := range view.Snapshot().Offers {
		if o.Peer == d.name {
			if same, err := mine.Same(o); err != nil || same {
				return err
			}
		}
	}
	return d.putOffer(ctx, own)
}

// putOffer shows the others what this peer's file has.
func (d *Daemon) putOffer(ctx context.Context, own *pool.Catalog) error {
	mine := &pool.Offer{Peer: d.name, Catalog: own.Offered()}
	err := insist(ctx, func() error { return d.store.PutOffer(ctx, mine) })
	if err == nil || ctx.Err() != nil {
		return err
	}
	d.log.Error("the other peers do not know what this one has: they cannot plan with it", zap.Error(err))
	return nil
}

// forgetOffers removes, as the allocator, what peers had that are gone for long,
// unless it is all that is known of a provider.
func (d *Daemon) forgetOffers(ctx context.Context, records *store.Owned) error {
	for {
		if err := sleep.For(ctx, offersLook); err != nil {
			return err
		}
		// Not the records of the duty: by these it is seen whether its own loop turns.
		for _, o := range d.union.Stale(d.view.Load().Snapshot()) {
			w := pool.Write{By: pool.Allocator, Offers: []pool.Change[pool.Offer]{pool.Remove(o)}}
			if _, err := records.Apply(ctx, w); err != nil {
				d.log.Warn("what a peer had is not forgotten", zap.String("peer", o.Peer), zap.Error(err))
				continue
			}
			d.log.Info("what a peer had is forgotten: it is gone, and others have it", zap.String("peer", o.Peer))
		}
	}
}
