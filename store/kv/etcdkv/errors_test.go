package etcdkv

import (
	"context"
	"errors"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"poold/store/kv"
)

// "Not done" is only ever said of what etcd refused and what never left; a
// wrong "not done" makes a second server.
func TestErrors(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name         string
		ended        bool
		err          error
		change, read error
	}{
		{"never sent", false, &unsentError{status.Error(codes.Unavailable, "connection error")}, kv.ErrUnavailable, kv.ErrUnavailable},
		{"connection lost", false, status.Error(codes.Unavailable, "error reading from server: EOF"), kv.ErrUnknown, kv.ErrUnavailable},
		{"context ended", true, context.Canceled, kv.ErrUnknown, kv.ErrUnavailable},
		{"deadline at the server", false, status.Error(codes.DeadlineExceeded, "context deadline exceeded"), kv.ErrUnknown, kv.ErrUnavailable},
		{"proposal timed out", false, rpctypes.ErrGRPCTimeout, kv.ErrUnknown, kv.ErrUnavailable},
		{"leader failed", false, rpctypes.ErrGRPCTimeoutDueToLeaderFail, kv.ErrUnknown, kv.ErrUnavailable},
		{"leader changed", false, rpctypes.ErrLeaderChanged, kv.ErrUnknown, kv.ErrUnavailable},
		{"server stopped", false, rpctypes.ErrGRPCStopped, kv.ErrUnknown, kv.ErrUnavailable},
		{"no leader", false, rpctypes.ErrGRPCNoLeader, kv.ErrUnavailable, kv.ErrUnavailable},
		{"too many requests", false, rpctypes.ErrGRPCRequestTooManyRequests, kv.ErrUnavailable, kv.ErrUnavailable},
		{"an answer of unknown kind", false, status.Error(codes.Unknown, "boom"), kv.ErrUnknown, kv.ErrUnavailable},
		{"a reply too large for us", false, status.Error(codes.ResourceExhausted, "grpc: received message larger than max"), kv.ErrUnknown, kv.ErrUnavailable},
		{"dead lease", false, rpctypes.ErrGRPCLeaseNotFound, kv.ErrNotFound, kv.ErrNotFound},
		{"no key to keep a lease of", false, rpctypes.ErrGRPCKeyNotFound, kv.ErrNotFound, kv.ErrNotFound},
		{"compacted", false, rpctypes.ErrGRPCCompacted, kv.ErrCompacted, kv.ErrCompacted},
		{"permission", false, rpctypes.ErrGRPCPermissionDenied, rpctypes.ErrPermissionDenied, rpctypes.ErrPermissionDenied},
		{"no space", false, rpctypes.ErrGRPCNoSpace, kv.ErrUnavailable, kv.ErrUnavailable},
		{"a token that is over", false, rpctypes.ErrGRPCInvalidAuthToken, kv.ErrUnavailable, kv.ErrUnavailable},
		{"a token of before a change of roles", false, rpctypes.ErrGRPCAuthOldRevision, kv.ErrUnavailable, kv.ErrUnavailable},
	} {
		ctx := t.Context()
		if c.ended {
			ctx = over
		}
		got := changeError(ctx, c.err)
		if !errors.Is(got, c.change) || errors.Is(got, kv.ErrUnknown) != errors.Is(c.change, kv.ErrUnknown) {
			t.Errorf("%s: a change got %v, want %v", c.name, got, c.change)
		}
		if got := readError(ctx, c.err); !errors.Is(got, c.read) {
			t.Errorf("%s: a read got %v, want %v", c.name, got, c.read)
		}
	}
}

func TestOrderedSince(t *testing.T) {
	for version, want := range map[string]bool{
		"3.4.23": false, "3.4.25": true, "3.5.7": false, "3.5.8": true, "3.6.0-rc.1": true, "3.7.3": true,
		"3.3.27": false, "4.0.0": true, "2.9.9": false, "": false, "not a version": false,
	} {
		if got := orderedSince(version); got != want {
			t.Errorf("%q: got %v", version, got)
		}
	}
}
