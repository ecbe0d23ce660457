// Package launcher turns the nodes of one provider into instances and back: it
// asks for them in batches, sees them become active in one list for all,
// reaches them, deletes them when they are used, removes what leaked, and
// publishes what the cloud allows. It runs on the owner of the provider only.
//
// # How it is built
//
// One loop owns all that this process knows beyond the records ([Launcher.Run],
// run.go). A pass takes the snapshot, computes a plan from it and from what
// was seen (plan.go: no effects, the time is an argument), and starts the
// plan's effects in goroutines. An effect is one write, or one call to the
// cloud; when it ends it brings what it learned back to the loop. A node whose
// effect goes on is busy and nothing else is decided about it, so no record is
// ever advanced twice at a time. Whatever is lost on the way is decided again
// from what is true then.
//
// Nothing is decided about a node from a snapshot that is older than our own
// last write of it.
//
// # What it promises
//
// A record says what is meant before the cloud is asked for it, so that a
// process may die anywhere: docs/recovery.md lists each place and what the
// next owner does. A batch is asked for at most once, ever. The id of an
// instance is on record only when its node is ready or failed; until then, and
// after a restart, the instance is known by its mark and its name, which were
// written before it existed. Absence from a list proves nothing: an instance
// is gone when the cloud says so about its id. A node whose instance was never
// seen is deleted only after two believed full lists from beyond the bound in
// which an ambiguous create may still show.
//
// Time in which no process looked does not count against a node: its launch
// and boot time-outs are counted from what this process saw at the earliest.
package launcher
