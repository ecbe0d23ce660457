// Package pool is the vocabulary of poold: every noun of the field (node,
// request, allocation, label, provider, pool, image, build, upload, quota,
// command) and every state a record can be in, with the owner of each edge
// between two states.
//
// It does no I/O, reads no clock and imports nothing but the standard library,
// so that every other package can depend on it and it depends on none. Records
// are plain data: the store hands out pointers to records that nobody changes;
// whoever wants a change copies the record, moves the copy and offers both as
// a [Change] in a [Write].
//
//	requests + nodes + quotas --Decide--> plan --Write--> etcd --watch--> Snapshot
//
// Times are UTC, whole milliseconds, without a monotonic part; sizes carry
// their unit in the name unless the type says it.
package pool
