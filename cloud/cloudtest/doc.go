// Package cloudtest holds the contract of package cloud as tests. A driver
// passes [Run], over a real cloud or a simulated one, and so does the
// simulated cloud itself: what the rest of poold learns from one is then true
// of the other.
package cloudtest
