// Package allocator decides who gets which node, what to launch and what to
// retire.
//
// [Decide] is pure: a snapshot of the records, the catalog and a time give a
// [Plan], equal inputs give equal plans, and nothing is remembered between two
// decisions: pauses after failures, waiting times and reservations all follow
// from the records. [Allocator.Run] is the thin loop around it: decide, write,
// wait for a change or for the time the plan names.
//
//	snapshot, catalog, now --Decide--> plan of decisions --Apply--> records
//
// Each decision is one atomic write, and no two decisions of a plan touch the
// same record, so they can be written in any order and at once. Between two
// decisions lies at least everything that was written: a decision is never
// based on a snapshot from before it. That, and that nobody else makes nodes,
// is why no plan overbooks a quota without there being a counter of it.
//
// Requests are looked at in order (priority, relative priority, age). Each is
// served from idle nodes, or else placed: it claims idle nodes and launches in
// flight in one pool and availability zone, and has launched what is missing.
// A claim lasts for one decision only; what is launched serves whoever is
// first in line when it is ready.
package allocator
