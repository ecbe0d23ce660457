// Package cloud is the contract between poold and the clouds it launches in:
// the [Driver] interface with its optional abilities, the facts it exchanges,
// and the closed set of errors by what to do about them.
//
// A driver is thin. It never retries, never sleeps, keeps no state that the
// cloud does not confirm, and makes every single call, authentication and the
// pages of a list included, through the [Gate] it was given. What to do when a
// call fails is decided in the record's step, one level up, from the [Kind] of
// the error. Every driver passes the suite in cloud/cloudtest.
//
// Everything made carries the [Mark] of our installation. Nothing without it
// is ever shown as ours, changed or deleted. What a cloud makes by itself for
// one of our instances, ports and boot volumes, carries none: it is known by
// the id of the instance, or by its own as the instance showed it before
// anybody was told of it, and both are on record (see [Cleaner]).
package cloud
