package sim

import (
	"poold/cloud"
	"poold/pool"
	"poold/store/kv"
)

// bug is what is broken on purpose at the seams of a world; the zero value is
// nothing.
type bug struct {
	// txn changes what is sent to etcd.
	txn func(txn *kv.Txn)
	// write changes what a component writes, drop loses it.
	write func(write *pool.Write)
	drop  func(write *pool.Write) bool
	// snapshot changes what the allocator sees.
	snapshot func(s *pool.Snapshot) *pool.Snapshot
	// listing changes what a cloud lists, for a sweep or not.
	listing func(d *driver, l *cloud.Listing, sweep bool)

	openGate, postTwice, deleteNothing, reachLies bool
}
