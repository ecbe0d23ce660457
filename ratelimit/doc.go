// Package ratelimit spaces out the calls to one service of one provider.
//
// A [Limiter] is a token bucket with a queue in front of it. In any window it
// lets through at most burst + rate x window calls, and a new one starts with
// an empty bucket, so that a new owner of a provider does not add its burst to
// the old one's.
//
// The queue has lanes. The most urgent one goes first, but each bears only so
// many turns of others while somebody waits in it, so that none starves.
//
// A limiter does not trust the rate that it was told to be what the cloud takes.
// It begins carefully, becomes bolder with each call that passes, and when the
// cloud says that there were too many calls it stops for as long as the cloud
// asked, goes on at a lower rate, and climbs back slowly. It never repeats a
// call.
//
// The package does no I/O. The arithmetic takes the time as an argument; only
// run.go reads the clock.
package ratelimit
