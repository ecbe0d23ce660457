// Package peers is what any number of poold agree on without asking each other,
// because each works it out from the records alone: which of them does what
// ([Spread]), what all their files have together ([Union]), and what time it is
// ([Clock]). It writes nothing; package daemon does.
package peers

import "poold/pool"

// View is the records as they are followed.
type View interface {
	Snapshot() *pool.Snapshot
	// SubscribePeers returns a channel that gets a value when members, drains or
	// offers have changed, and a function that ends this.
	SubscribePeers() (changed <-chan struct{}, cancel func())
}
