package etcdkv

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"poold/store/kv"
)

// unsentError marks a call that no server can have seen, because gRPC had no
// connection to give it to.
type unsentError struct{ err error }

func (e *unsentError) Error() string { return e.err.Error() }

func (e *unsentError) Unwrap() error { return e.err }

// markUnsent is a gRPC interceptor that tells calls that never left from those
// whose reply was lost; their status is the same. gRPC reports the peer of
// every call that got a stream.
//
//nolint:revive // gRPC says what an interceptor looks like
func markUnsent(
	ctx context.Context, method string, req, reply any, cc *grpc.ClientConn,
	invoker grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	var p peer.Peer
	// etcd's client waits for a connection as long as the context lives; a call
	// that fails at once while there is none is worth more, because it is known
	// not to be done.
	err := invoker(ctx, method, req, reply, cc, append(opts, grpc.Peer(&p), grpc.WaitForReady(false))...)
	if err != nil && p.Addr == nil {
		return &unsentError{err}
	}
	return err
}

// readError says what the failure of a read means.
func readError(ctx context.Context, err error) error {
	if kind := refusal(err); kind != nil {
		return kind
	}
	return fmt.Errorf("%w: %w", kv.ErrUnavailable, withCause(ctx, err))
}

// changeError says what the failure of a change means. Only what etcd says it
// did not do, and what never left, was not done; all else is unknown.
func changeError(ctx context.Context, err error) error {
	if kind := refusal(err); kind != nil {
		return kind
	}
	var unsent *unsentError
	err = rpctypes.Error(err) // unify what came over a stream with what the client made of a call
	if errors.As(err, &unsent) || errors.Is(err, rpctypes.ErrNoLeader) || errors.Is(err, rpctypes.ErrTooManyRequests) {
		// A server without a leader refuses before it proposes anything.
		return fmt.Errorf("%w: %w", kv.ErrUnavailable, withCause(ctx, err))
	}
	return fmt.Errorf("%w: %w", kv.ErrUnknown, withCause(ctx, err))
}

// refusal returns the error of a call that etcd answered and did not do, and
// nil for a failure to be answered.
func refusal(err error) error {
	var answer rpctypes.EtcdError
	if !errors.As(rpctypes.Error(err), &answer) {
		return nil // from gRPC or a context, not from etcd
	}
	switch {
	case errors.Is(answer, rpctypes.ErrCompacted):
		return fmt.Errorf("%w: %w", kv.ErrCompacted, answer)
	case errors.Is(answer, rpctypes.ErrLeaseNotFound), errors.Is(answer, rpctypes.ErrKeyNotFound):
		return fmt.Errorf("%w: %w", kv.ErrNotFound, answer)
	case errors.Is(answer, rpctypes.ErrNoSpace), errors.Is(answer, rpctypes.ErrInvalidAuthToken),
		errors.Is(answer, rpctypes.ErrAuthOldRevision):
		// An operator makes space, and etcd's client logs in again: what was
		// refused can be done later.
		return fmt.Errorf("%w: %w", kv.ErrUnavailable, answer)
	case errors.Is(answer, rpctypes.ErrTooManyRequests):
		return nil
	}
	switch answer.Code() {
	case codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition, codes.OutOfRange,
		codes.PermissionDenied, codes.Unauthenticated, codes.ResourceExhausted, codes.DataLoss:
		return answer
	case codes.OK, codes.Canceled, codes.Unknown, codes.DeadlineExceeded, codes.AlreadyExists,
		codes.Aborted, codes.Unimplemented, codes.Internal, codes.Unavailable:
		return nil
	}
	return nil
}

// withCause adds why the context ended, if that is why the call did.
func withCause(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	if s, ok := status.FromError(err); ok && s.Code() != codes.Canceled && s.Code() != codes.DeadlineExceeded {
		return err
	}
	return context.Cause(ctx)
}
