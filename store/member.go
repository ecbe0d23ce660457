package store

import (
	"context"
	"fmt"

	"poold/pool"
	"poold/store/kv"
)

// PutMember shows a peer to the others for as long as its session lives, or
// replaces what it showed before; a new life of a peer replaces the last one
// of the same name. It is written in the oldest version, for whoever comes must
// be able to read what it says of versions.
func (s *Store) PutMember(ctx context.Context, session *Session, m *pool.Member) error {
	value, err := s.codec.members.encode(m, pool.OldestVersion)
	if err != nil {
		return err
	}
	// A lost reply needs no care: the next put says the same or better.
	revision, _, err := s.kv.Commit(ctx, kv.Txn{Then: []kv.Op{kv.PutLeased(s.keys.member(m.Name), value, session.lease)}})
	if err != nil {
		return fmt.Errorf("put member %s: %w", m.Name, translate(err))
	}
	s.saw(revision)
	return nil
}

// PutOffer shows what a peer's file has, and goes on doing so when the peer is
// gone. Each peer writes its own, in the oldest version as well.
func (s *Store) PutOffer(ctx context.Context, o *pool.Offer) error {
	value, err := s.codec.offers.encode(o, pool.OldestVersion)
	if err != nil {
		return err
	}
	// A lost reply needs no care: the next put says the same or better.
	revision, _, err := s.kv.Commit(ctx, kv.Txn{Then: []kv.Op{kv.Put(s.keys.offer(o.Peer), value)}})
	if err != nil {
		return fmt.Errorf("put the offer of %s: %w", o.Peer, translate(err))
	}
	s.saw(revision)
	return nil
}
