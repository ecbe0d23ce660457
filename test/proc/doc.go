// Package proc runs real programs in tests: it starts and ends them, keeps
// their output for the moment when a test fails, finds free ports, and waits
// for things with a limit and a clear message. Nothing in it knows poold.
package proc
