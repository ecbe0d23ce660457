// Package collector has what collects traces and statistics in tests, and keeps what
// it was told: an OpenTelemetry collector, which takes OTLP over HTTP, and a statsd
// server.
package collector

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	otlp "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Span is a span that it was told of. Trace, ID and Parent are hexadecimal.
type Span struct {
	Trace, ID, Parent, Name string
	// Peer is who told of it.
	Peer       string
	Begin, End time.Time
	// Failed is why it failed; empty if it did not.
	Failed     string
	Attributes map[string]string
	// Links are other traces.
	Links []string
}

// Collector keeps spans.
type Collector struct {
	// URL is where it listens.
	URL string

	// mu guards everything below.
	mu    sync.Mutex
	spans []Span
	text  []byte
}

// Start runs a collector until the test ends.
func Start(tb testing.TB) *Collector {
	tb.Helper()
	c := &Collector{}
	server := httptest.NewServer(http.HandlerFunc(c.take))
	tb.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

// Spans are those that it was told of so far, in order.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Span{}, c.spans...)
}

// Text is all that was sent, as it came.
func (c *Collector) Text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.text)
}

func (c *Collector) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var told otlp.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &told)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		http.Error(w, "not a trace", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = append(c.text, body...)
	for _, of := range told.GetResourceSpans() {
		peer := pairs(of.GetResource().GetAttributes())["service.instance.id"]
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.spans = append(c.spans, decode(peer, s))
			}
		}
	}
}

func decode(peer string, s *traces.Span) Span {
	d := Span{
		Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
		Name: s.GetName(), Peer: peer, Failed: s.GetStatus().GetMessage(), Attributes: pairs(s.GetAttributes()),
		Begin: time.Unix(0, int64(s.GetStartTimeUnixNano())), End: time.Unix(0, int64(s.GetEndTimeUnixNano())), //nolint:gosec // of our days
	}
	for _, l := range s.GetLinks() {
		d.Links = append(d.Links, hex.EncodeToString(l.GetTraceId()))
	}
	return d
}

func pairs(all []*common.KeyValue) map[string]string {
	pairs := map[string]string{}
	for _, a := range all {
		pairs[a.GetKey()] = a.GetValue().GetStringValue()
	}
	return pairs
}
