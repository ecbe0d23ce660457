package openstack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"poold/cloud"
)

// errSlow ends a call that took longer than api_timeout.
var errSlow = errors.New("no answer within api_timeout")

// maxErrorBody bounds what is read of the body of an error.
const maxErrorBody = 64 << 10

// maxAnswers bounds what is read of any answer but the data of an image: more
// than a list of 40,000 servers, and of all pages of a list together. No token and
// no catalog needs maxAnswer.
const maxAnswers = 128 << 20

// maxHeaders bounds the headers of an answer.
const maxHeaders = 256 << 10

// errTooMuch ends the reading of an answer without end.
var errTooMuch = errors.New("the answer is too large")

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

// transport is the one way out: whatever makes a request, it passes the gate and
// reports how it ended, once for each time that it is made.
type transport struct {
	base http.RoundTripper
	gate cloud.Gate
	// agent is what every call says of whose it is.
	agent string
	// trace may be nil.
	trace *trace
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
	a := &attempts{leave: leave, again: func() (func(cloud.Outcome), error) { return t.gate.Enter(ctx, p.call) }}
	out := req.Clone(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: a.connected}))
	out.Header.Set("User-Agent", t.agent)
	n := t.trace.sent(out, p.call)
	resp, err := t.base.RoundTrip(out)
	sent, leave, refused := a.end()
	if refused != nil {
		err = refused
	}
	if err != nil {
		t.trace.lost(n, err)
		lost := &cloud.Error{Kind: cloud.Transient, Err: cause(ctx, err)}
		if p.changes && sent {
			lost.Kind = cloud.Ambiguous
		}
		cancel()
		leave(cloud.Outcome{Kind: lost.Kind})
		return nil, lost
	}
	if resp.StatusCode < http.StatusMultipleChoices || p.choices && resp.StatusCode == http.StatusMultipleChoices {
		t.trace.answered(n, resp, p.call, nil)
		leave(cloud.Outcome{Status: resp.StatusCode})
		resp.Body = &boundedBody{ReadCloser: resp.Body, cancel: cancel, left: p.most()}
		return resp, nil
	}
	// An error that cannot be read in full is still an error of that status.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	closeBody(resp.Body)
	cancel()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	t.trace.answered(n, resp, p.call, body)
	kind, after := classify(p, resp.StatusCode, resp.Header, body)
	leave(cloud.Outcome{Status: resp.StatusCode, Kind: kind, RetryAfter: after})
	return resp, nil
}

// attempts are how often a call is made: package net/http makes it again when a
// connection that was kept turns out to be broken, if the call only reads or nothing
// of it was written.
type attempts struct {
	// again waits for a turn.
	again func() (func(cloud.Outcome), error)

	mu sync.Mutex // guards what follows
	// sent says that there was a connection, over which the call may be written at
	// any moment.
	sent    bool
	leave   func(cloud.Outcome)
	refused error
}

// connected is called with a connection in hand. If it is not the first one the
// call has to wait for its turn once more, and is not made without.
func (a *attempts) connected(c httptrace.GotConnInfo) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.sent {
		a.sent = true
		return
	}
	a.leave(cloud.Outcome{Kind: cloud.Transient})
	if a.leave, a.refused = a.again(); a.refused != nil {
		a.leave = func(cloud.Outcome) {}
		_ = c.Conn.Close() // so that nothing can be written
	}
}

// end says whether the call may have been written, how to leave its last turn, and
// why it got no other one.
func (a *attempts) end() (sent bool, leave func(cloud.Outcome), refused error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sent, a.leave, a.refused
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

// most is how much of an answer is read.
func (p *plan) most() int64 {
	switch {
	case p.timeout <= 0:
		return math.MaxInt64 // data, of a size that is known
	case p.call.Service == cloud.Identity:
		return maxAnswer
	}
	return maxAnswers
}

// boundedBody ends the call's time-out when its body is done with, and a body
// that has no end.
type boundedBody struct {
	io.ReadCloser
	cancel context.CancelFunc
	left   int64
}

// Read reads what is left of what may be read.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooMuch
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// Close ends the call.
func (b *boundedBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
