package trace

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.uber.org/zap"

	"poold/pool"
)

const (
	// queued is how many spans wait at most, and batch how many are sent at once.
	queued, batch = 8192, 512
	// sendEvery is the longest that a span waits for others, sendTime bounds the
	// sending of a batch, repetitions included, and lastTime that of what is left
	// when poold ends.
	sendEvery, sendTime, lastTime = 2 * time.Second, 30 * time.Second, 2 * time.Second
)

// The variables of OpenTelemetry that say where the collector is; its other ones
// are read where the spans are sent.
const (
	endpointVariable = "OTEL_EXPORTER_OTLP_ENDPOINT"
	tracesVariable   = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
)

// Config says what to tell whom.
type Config struct {
	// Endpoint is the URL of the collector, such as "http://127.0.0.1:4318"; empty
	// leaves it to the environment, and without it there nothing is told.
	Endpoint string
	Getenv   func(string) string
	// Version and Peer tell this process from others.
	Version, Peer string
	Registerer    prometheus.Registerer
	Log           *zap.Logger
}

// Teller tells a collector what writes ended. The nil Teller tells nobody.
type Teller struct {
	client otlptrace.Client
	about  []string
	queue  chan span
	spans  *prometheus.CounterVec
	log    *zap.Logger

	// failing says that the last sending failed; it belongs to Run.
	failing bool
}

// New returns a Teller, nil if nobody wants to hear.
func New(cfg Config) (*Teller, error) {
	var options []otlptracehttp.Option
	switch {
	case cfg.Endpoint != "":
		at, err := url.Parse(cfg.Endpoint)
		if err != nil {
			return nil, fmt.Errorf("tracing: endpoint: %w", err)
		}
		if strings.Trim(at.Path, "/") == "" {
			at.Path = "/v1/traces"
		}
		options = append(options, otlptracehttp.WithEndpointURL(at.String()))
	case cfg.Getenv(endpointVariable) == "" && cfg.Getenv(tracesVariable) == "":
		return nil, nil //nolint:nilnil // the nil Teller tells nobody
	}
	t := &Teller{
		client: otlptracehttp.NewClient(options...), queue: make(chan span, queued), log: cfg.Log.Named("trace"),
		about: []string{"service.name", "poold", "service.version", cfg.Version, "service.instance.id", cfg.Peer},
		spans: promauto.With(cfg.Registerer).NewCounterVec(prometheus.CounterOpts{
			Name: "poold_trace_spans_total",
			Help: "Spans by what became of them: sent, refused by the collector or not taken in time, or dropped because too many waited.",
		}, []string{"outcome"}),
	}
	for _, outcome := range []string{"sent", "refused", "dropped"} {
		t.spans.WithLabelValues(outcome)
	}
	return t, nil
}

// Tell takes in a write that happened. It never waits.
func (t *Teller) Tell(installation string, w *pool.Write) {
	if t == nil {
		return
	}
	for _, s := range spans(installation, w, time.Now()) {
		select {
		case t.queue <- s:
		default:
			t.spans.WithLabelValues("dropped").Inc()
		}
	}
}

// Run sends what is told until ctx ends, and then what is left.
func (t *Teller) Run(ctx context.Context) error {
	if t == nil {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	if err := t.client.Start(ctx); err != nil {
		t.log.Error("nobody is told of spans", zap.Error(err))
	}
	for ctx.Err() == nil {
		t.send(ctx, t.gather(ctx), sendTime)
	}
	t.send(context.WithoutCancel(ctx), t.left(), lastTime)
	return context.Cause(ctx)
}

// gather waits for spans, and returns as many as are sent at once, or all that
// came within a while.
func (t *Teller) gather(ctx context.Context) []span {
	var some []span
	select {
	case s := <-t.queue:
		some = append(some, s)
	case <-ctx.Done():
		return nil
	}
	timer := time.NewTimer(sendEvery)
	defer timer.Stop()
	for len(some) < batch {
		select {
		case s := <-t.queue:
			some = append(some, s)
		case <-timer.C:
			return some
		case <-ctx.Done():
			return some
		}
	}
	return some
}

// left is what waits.
func (t *Teller) left() []span {
	var all []span
	for {
		select {
		case s := <-t.queue:
			all = append(all, s)
		default:
			return all
		}
	}
}

// send sends spans within a time, or soon after ctx has ended. A failure is logged
// when the sending before it went well.
func (t *Teller) send(ctx context.Context, some []span, within time.Duration) {
	if len(some) == 0 {
		return
	}
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	hurry := context.AfterFunc(ctx, func() { time.AfterFunc(lastTime, cancel) })
	defer hurry()
	err := t.client.UploadTraces(sending, encode(t.about, some))
	outcome := "sent"
	switch {
	case err != nil && !t.failing:
		t.log.Warn("spans not sent", zap.Int("spans", len(some)), zap.Error(err))
	case err == nil && t.failing:
		t.log.Info("spans are sent again")
	}
	if t.failing = err != nil; t.failing {
		outcome = "refused"
	}
	t.spans.WithLabelValues(outcome).Add(float64(len(some)))
}
