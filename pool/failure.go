package pool

// Kind classifies a failure by what to do about it. The set is closed; it is
// what a node record keeps of an error, and what a breaker counts. Package
// cloud attaches it to errors. The kind is itself an error, so that
// errors.Is(err, pool.KindQuota) asks for the class.
type Kind string

// The kinds of failure, each with its policy.
const (
	// KindTransient may be tried again after a while: a 5xx, a time-out of a
	// read, a reset connection before anything was sent.
	KindTransient Kind = "transient"
	// KindRateLimited is to be tried again after the time the cloud asked
	// for; the provider as a whole slows down. It is nobody's failure.
	KindRateLimited Kind = "rate-limited"
	// KindQuota says that our own quota is used up: wait until something is
	// deleted; believed limits are lowered until the next poll.
	KindQuota Kind = "quota"
	// KindCapacity says that the cloud is full: try elsewhere.
	KindCapacity Kind = "capacity"
	// KindNotFound says that the thing is not there; for a delete, success.
	KindNotFound Kind = "not-found"
	// KindConflict says that the thing is in a state that forbids the call:
	// look again.
	KindConflict Kind = "conflict"
	// KindUnauthorized says that credentials are refused: the provider stops,
	// and a human must act.
	KindUnauthorized Kind = "unauthorized"
	// KindInvalid says that the call can never succeed as it is: an image,
	// flavor or network that does not exist, a malformed value.
	KindInvalid Kind = "invalid"
	// KindAmbiguous says that the call may have taken effect: look before
	// trying again.
	KindAmbiguous Kind = "ambiguous"
	// KindUnclassified is everything else. It is treated as transient and
	// counted as a defect of the driver.
	KindUnclassified Kind = "unclassified"
	// KindNeverSeen is a node whose instance never appeared after an
	// ambiguous create. It does not count as a failed launch.
	KindNeverSeen Kind = "never-seen"
	// KindTimeout is a node that did not become ready in time.
	KindTimeout Kind = "timeout"
	// KindUnreachable is a node that is active but does not answer, or not as
	// its label says that a ready one does.
	KindUnreachable Kind = "unreachable"
	// KindVanished is a node whose instance was there and is gone.
	KindVanished Kind = "vanished"
)

// Error makes a kind usable as the target of errors.Is.
func (k Kind) Error() string { return string(k) }

// CountsAsLaunchFailure tells whether a node that failed with k says something
// bad about its image, flavor or provider. Rate limits, quotas and ambiguity
// do not: the launch never had its chance.
func (k Kind) CountsAsLaunchFailure() bool {
	switch k {
	case KindRateLimited, KindQuota, KindAmbiguous, KindNeverSeen, KindConflict:
		return false
	case KindTransient, KindCapacity, KindNotFound, KindUnauthorized, KindInvalid,
		KindUnclassified, KindTimeout, KindUnreachable, KindVanished:
		return true
	}
	return true
}

// SpeaksOfImage tells whether a node that failed with k may have an image that
// is no good: the cloud would not have it, or it did not come up.
func (k Kind) SpeaksOfImage() bool {
	switch k {
	case KindInvalid, KindNotFound, KindUnclassified, KindTimeout, KindUnreachable:
		return true
	case KindTransient, KindRateLimited, KindQuota, KindCapacity, KindConflict, KindUnauthorized,
		KindAmbiguous, KindNeverSeen, KindVanished:
	}
	return false
}
