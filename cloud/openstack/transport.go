package openstack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"poold/cloud"
)

// errSlow ends a call that took longer than api_timeout.
var errSlow = errors.New("no answer within api_timeout")

// maxErrorBody bounds what is read of the body of an error.
const maxErrorBody = 64 << 10

// plan is what the transport must know of a request; it comes with the
// request's context.
type plan struct {
	call cloud.Call
	// changes tells a call that changes something: if it is lost, it may have
	// been done.
	changes bool
	// timeout bounds the call, from when the gate let it pass until its body
	// is read; 0 leaves that to the context.
	timeout time.Duration
	// choices says that 300, a list of versions, is an answer.
	choices bool
}

type planKey struct{}

func withPlan(ctx context.Context, p plan) context.Context {
	return context.WithValue(ctx, planKey{}, p)
}

// transport is the one way out: whatever makes a request, it passes the gate
// exactly once and reports how it ended exactly once.
type transport struct {
	base http.RoundTripper
	gate cloud.Gate
}

// RoundTrip makes a call. Its error is a *cloud.Error, which says whether the
// call may have been done.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	p, ok := req.Context().Value(planKey{}).(plan)
	if !ok {
		closeBody(req.Body)
		return nil, &cloud.Error{Kind: cloud.Invalid, Err: errors.New("a request without a name")}
	}
	leave, err := t.gate.Enter(req.Context(), p.call)
	if err != nil {
		closeBody(req.Body)
		return nil, &cloud.Error{Kind: cloud.NoTurn(err), Err: err}
	}
	ctx, cancel := bound(req.Context(), p.timeout)
	// With a connection in hand, the request may be written at any moment.
	var sent atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { sent.Store(true) },
	})
	resp, err := t.base.RoundTrip(req.WithContext(traced))
	if err != nil {
		lost := &cloud.Error{Kind: cloud.Transient, Err: cause(ctx, err)}
		if p.changes && sent.Load() {
			lost.Kind = cloud.Ambiguous
		}
		cancel()
		leave(cloud.Outcome{Kind: lost.Kind})
		return nil, lost
	}
	if resp.StatusCode < http.StatusMultipleChoices || p.choices && resp.StatusCode == http.StatusMultipleChoices {
		leave(cloud.Outcome{Status: resp.StatusCode})
		resp.Body = &boundedBody{ReadCloser: resp.Body, cancel: cancel}
		return resp, nil
	}
	// An error that cannot be read in full is still an error of that status.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	closeBody(resp.Body)
	cancel()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	kind, after := classify(p, resp.StatusCode, resp.Header, body)
	leave(cloud.Outcome{Status: resp.StatusCode, Kind: kind, RetryAfter: after})
	return resp, nil
}

func bound(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, timeout, errSlow)
}

// cause prefers why a context ended to the news that it did.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func closeBody(b io.Closer) {
	if b != nil {
		_ = b.Close() // only read from, so that nothing is lost
	}
}

// boundedBody ends the call's time-out when its body is done with.
type boundedBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close ends the call.
func (b *boundedBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
