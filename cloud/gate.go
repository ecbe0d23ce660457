package cloud

import (
	"context"
	"errors"
	"time"
)

// Service is the part of a cloud that a call goes to. Each has a rate limit of
// its own.
type Service string

// The services.
const (
	Identity     Service = "identity"
	Compute      Service = "compute"
	ImageService Service = "image"
	Network      Service = "network"
	Volume       Service = "volume"
	Object       Service = "object"
)

// Lane is the urgency of a call. Lower lanes go first, but none waits for ever.
type Lane int

// The lanes, most urgent first.
const (
	// LaneDelete frees quota for everybody else.
	LaneDelete Lane = iota
	// LaneFinish completes launches that already cost something.
	LaneFinish
	// LaneRequest launches for requests that wait.
	LaneRequest
	// LaneReady launches ahead of demand.
	LaneReady
	// LanePoll looks at what is in flight.
	LanePoll
	// LaneImage moves images.
	LaneImage
	// LaneSweep looks for leaks.
	LaneSweep
)

type laneKey struct{}

// WithLane says how urgent the calls made under the context are.
func WithLane(ctx context.Context, lane Lane) context.Context {
	return context.WithValue(ctx, laneKey{}, lane)
}

// LaneOf returns the lane of a context, LanePoll if none was set.
func LaneOf(ctx context.Context) Lane {
	if lane, ok := ctx.Value(laneKey{}).(Lane); ok {
		return lane
	}
	return LanePoll
}

// Call is one request to a cloud.
type Call struct {
	Service Service
	// Operation is the method and the path template, such as
	// "GET /servers/{id}". It has no ids, so that calls can be counted by it.
	Operation string
}

// Outcome is how a call ended.
type Outcome struct {
	// Status is the HTTP status, 0 if there was no answer.
	Status int
	// Kind is the kind of failure, "" for success.
	Kind Kind
	// RetryAfter is how long the cloud asked to wait, 0 if it did not.
	RetryAfter time.Duration
}

// Gate stands in front of every single call to a cloud: it waits for the
// call's turn under the provider's rate limit, and learns from how the call
// ended. It never repeats a call. It is safe for concurrent use.
type Gate interface {
	// Enter blocks until the call may be made, in the order of LaneOf(ctx),
	// or until ctx ends, whose cause it then returns: nothing was sent. The
	// caller makes exactly one call and then reports its outcome by leave,
	// exactly once.
	Enter(ctx context.Context, call Call) (leave func(Outcome), err error)
}

// NoTurn is the kind of an error of [Gate.Enter]: a call whose time was up
// before its turn came is nobody's failure.
func NoTurn(err error) Kind {
	if errors.Is(err, context.DeadlineExceeded) {
		return RateLimited
	}
	return Transient
}

// Open is a gate that lets everything pass. The zero value is ready to use.
type Open struct{}

// Enter lets the call pass at once unless ctx has ended.
func (Open) Enter(ctx context.Context, _ Call) (func(Outcome), error) {
	return func(Outcome) {}, context.Cause(ctx)
}
