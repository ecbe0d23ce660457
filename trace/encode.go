package trace

import (
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
)

// encode writes spans as OpenTelemetry does.
func encode(about []string, all []span) []*otlp.ResourceSpans {
	encoded := make([]*otlp.Span, 0, len(all))
	for i := range all {
		encoded = append(encoded, all[i].encode())
	}
	return []*otlp.ResourceSpans{{
		Resource:   &resource.Resource{Attributes: pairs(about)},
		ScopeSpans: []*otlp.ScopeSpans{{Scope: &common.InstrumentationScope{Name: "poold"}, Spans: encoded}},
	}}
}

func (s *span) encode() *otlp.Span {
	e := &otlp.Span{
		TraceId: s.trace[:], SpanId: s.id[:], Name: s.name, Kind: otlp.Span_SPAN_KIND_INTERNAL,
		StartTimeUnixNano: nanos(s.begin), EndTimeUnixNano: nanos(s.end), Attributes: pairs(s.attributes),
	}
	if s.parent != (spanID{}) {
		e.ParentSpanId = s.parent[:]
	}
	if s.failed != "" {
		e.Status = &otlp.Status{Code: otlp.Status_STATUS_CODE_ERROR, Message: s.failed}
	}
	for i := range s.links {
		root := rootOf(s.links[i])
		e.Links = append(e.Links, &otlp.Span_Link{TraceId: s.links[i][:], SpanId: root[:]})
	}
	return e
}

func nanos(t time.Time) uint64 { return uint64(max(0, t.UnixNano())) }

// pairs are names and values, by turns.
func pairs(all []string) []*common.KeyValue {
	var pairs []*common.KeyValue
	for i := 0; i+1 < len(all); i += 2 {
		pairs = append(pairs, &common.KeyValue{
			Key: all[i], Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: all[i+1]}},
		})
	}
	return pairs
}
