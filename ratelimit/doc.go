// Package ratelimit spaces out the calls to one service of one provider.
//
// A [Limiter] is a token bucket with a queue in front of it. In any window it
// lets through at most burst + rate x window calls, and a new one starts with
// an empty bucket, so that a new owner of a provider does not add its burst to
// the old one's.
//
// The queue has lanes. A lane is a head start, not a class: a call of lane 2
// stands behind one of lane 0 unless it came two head starts earlier. So urgent
// calls go first, and no lane can starve another for longer than the lanes
// between them are worth.
//
// When the cloud says that there were too many calls, the limiter stops for as
// long as the cloud asked, goes on at a lower rate, and climbs back slowly. It
// never repeats a call.
//
// The package does no I/O. The arithmetic takes the time as an argument; only
// run.go reads the clock.
package ratelimit
