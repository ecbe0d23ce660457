// Package store keeps the records of package pool in etcd: typed, versioned,
// changed only by compare-and-set, and only by who owns them.
//
// Under the prefix (by default /poold/v1) lie
//
//	installation                                      the id that marks all that is ours
//	clock                                             what time it is for the peers
//	requests/<client>/<id>                            written by clients only
//	allocations/<client>/<id>
//	nodes/<provider>/<id>
//	images/<image>/builds/<build>[/uploads/<provider>]
//	commands/<id>
//	quota/<provider>
//	members/<peer>                                    under the peer's lease
//	owners/{allocator,provider/<name>,image/<name>,upload/<provider>,{launching,uploading}/<rate group>}
//
// What it promises:
//
//   - [Store.Apply] does a [pool.Write] whole or not at all, compares the
//     revision of every record and that the writer is still the owner, checks
//     every move against its table, and finds out whether a write happened
//     whose reply was lost.
//   - A [View] is the whole prefix as of one revision, never a mixture, and
//     only goes back in revision if etcd itself did.
//   - An [Ownership] ends, with the contexts made from it, before its lease
//     can have died, on a clock that also counts while the machine is
//     suspended.
//   - Unknown fields of a record, at any depth, survive a rewrite; but those of an
//     element of a list that has neither id, name nor node go when it changes.
//   - A record of a newer version is never changed and appears in no list, only in
//     Snapshot.Unreadable; a request of a newer version appears with a Defect.
//     Records are written in the newest version that every member reads.
//
// Errors are those of package pool. Everything is safe for concurrent use.
package store
