// Package sim runs the real allocator and the real launchers of several peers
// against simulated clouds and a model of etcd, in virtual time, under faults of
// every kind, and judges every change of a record by the invariants of
// ARCHITECTURE.md.
//
// Everything that is random follows from the seed and from the names of what
// happens, never from the order in which goroutines come by, and no two things
// happen at the same instant: so a seed replays. docs/testing.md says how to run
// it and how to read what it prints.
package sim
