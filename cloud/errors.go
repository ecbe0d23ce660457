package cloud

import (
	"errors"
	"fmt"
	"time"

	"poold/pool"
)

// Kind classifies an error by what to do about it; see [pool.Kind] for the
// policy of each. A kind is itself the target of errors.Is:
//
//	errors.Is(err, cloud.Quota)
type Kind = pool.Kind

// The kinds that drivers return.
const (
	Transient    = pool.KindTransient
	RateLimited  = pool.KindRateLimited
	Quota        = pool.KindQuota
	Capacity     = pool.KindCapacity
	NotFound     = pool.KindNotFound
	Conflict     = pool.KindConflict
	Unauthorized = pool.KindUnauthorized
	Invalid      = pool.KindInvalid
	Ambiguous    = pool.KindAmbiguous
	Unclassified = pool.KindUnclassified
)

// Error is the only error that drivers return.
type Error struct {
	Kind Kind
	// Op says what was tried, e.g. "create servers".
	Op string
	// RetryAfter is how long the cloud asked to wait; 0 if it did not say.
	RetryAfter time.Duration
	// Err is the cause.
	Err error
}

// Error says what was tried, what kind of failure it was, and the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%s: %s", e.Op, e.Kind)
	}
	return fmt.Sprintf("%s: %s: %v", e.Op, e.Kind, e.Err)
}

// Unwrap offers both the kind and the cause to errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// KindOf returns the kind of an error; Unclassified for one that did not come
// from a driver, "" for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Unclassified
}
