// Package web serves what poold knows over HTTP: pages for people, health for
// machines, metrics for Prometheus, and every list as JSON.
//
//	/                   what is wrong, and how everything is; pages of nodes,
//	                    requests, images, providers, labels and peers below it
//	/healthz            the process is alive
//	/readyz             200 when it can do its work, else 503 and what is wrong
//	/metrics            Prometheus
//	/api/v1/KIND        {"items":[...]} for nodes, requests, images, uploads,
//	                    providers, labels, peers and events; openapi.json beside
//	                    them describes all, watch streams events as they happen
//	/api/v1/actions     does what poolctl does, for who may
//	/sign-in            where who may says who he is
//	/image-files/NAME   an image, while a cloud is to fetch it by that name
//	/node-list ...      nodepool's own paths, for what was written for them
//
// Everything is read from the cache of records; no request to read reaches etcd
// or a cloud. Nothing can be changed here unless there is a guard that tells who
// asks (package login), and then only as a command, as poolctl does it. The
// addresses and host keys of a node
// are shown while it is in use or held, and at no other time.
//
// What the pages show is worked out by package model, once for any number of
// readers, and drawn here.
package web

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"poold/event"
	"poold/pool"
	"poold/web/login"
)

// Check is one condition of readiness.
type Check struct {
	Name string `json:"name"`
	// Problem is what is wrong; empty if nothing is.
	Problem string `json:"problem,omitempty"`
	// Note is what else there is to know; it may be empty.
	Note string `json:"note,omitempty"`
}

// Config says what to serve.
type Config struct {
	// Snapshot returns the records as they are now; nil before the first read.
	Snapshot func() *pool.Snapshot
	// Catalog returns the configuration in force.
	Catalog func() *pool.Catalog
	// Ready returns the conditions of readiness as they are now.
	Ready func() []Check
	// Image opens the file that a cloud is to fetch by a name, and tells its
	// size; it may be nil.
	Image func(ctx context.Context, name string) (io.ReadCloser, int64, error)
	// Changed returns a channel that receives after every change of the records,
	// and a function that ends that; it may be nil.
	Changed func() (changed <-chan struct{}, cancel func())
	// EventAge is how long events are remembered; 0 is a day. Keep gets those that
	// are to be kept for longer, the first time those that the records tell of the
	// past; it may be nil.
	EventAge time.Duration
	Keep     func([]event.Event)
	// Breakers finds the launches that are stopped; it may be nil.
	Breakers func(nodes []*pool.Node, now time.Time) []pool.Breaker
	// Access tells who asks; without it anybody may read and nobody act. Closed
	// says that nobody may read whom it does not know.
	Access *login.Guard
	Closed bool
	// Operate does what somebody wants who may act; it may be nil.
	Operate func(ctx context.Context, c pool.Command) error
	// Etcd tells when etcd last answered, and how long it takes to; it may be
	// nil.
	Etcd     func() (contact time.Time, latency time.Duration)
	Gatherer prometheus.Gatherer
	Log      *zap.Logger
}

// Server serves everything that the package has. Its [Server.Run] keeps what
// the pages remember.
type Server struct {
	Config

	mux     *http.ServeMux
	pages   pages
	site    sites
	history history
	live    live
	events  *event.Log
	phases  *phases
	// noted are the records as they were when events were last looked for; only
	// Run uses it.
	noted *pool.Snapshot
}

// New returns a server of cfg.
func New(cfg Config) *Server {
	s := &Server{
		Config: cfg, mux: http.NewServeMux(), pages: newPages(),
		events: event.NewLog(eventBytes, cmp.Or(cfg.EventAge, defaultEventAge)), phases: newPhases(),
	}
	s.routes()
	return s
}

func (s *Server) routes() {
	mux := s.mux
	s.pageRoutes()
	s.accessRoutes()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { s.reply(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.Gatherer, promhttp.HandlerOpts{}))
	for _, l := range s.lists() {
		mux.HandleFunc("GET /api/v1/"+l.kind, s.list(l))
	}
	mux.HandleFunc("GET /api/v1/watch", s.watch)
	mux.HandleFunc("GET /api/v1/openapi.json", func(w http.ResponseWriter, _ *http.Request) { s.reply(w, http.StatusOK, s.openAPI()) })
	for path, list := range s.oldLists() {
		mux.HandleFunc("GET "+path, s.old(list))
	}
	mux.HandleFunc("GET /ready", s.oldReady)
	if s.Image != nil {
		mux.HandleFunc("GET /image-files/{name}", s.image)
	}
}

// errUnread answers who asks too early.
const errUnread = "the records have not been read yet"

// problem is the body of every answer that is not a list.
type problem struct {
	Error string `json:"error"`
}

// ready answers 503 as long as any condition has a problem.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	checks, status := s.Ready(), http.StatusOK
	for _, c := range checks {
		if c.Problem != "" {
			status = http.StatusServiceUnavailable
		}
	}
	s.reply(w, status, map[string]any{"checks": checks})
}

// reply writes a value as JSON. A client that went away is no concern of ours.
func (s *Server) reply(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(value); err != nil {
		s.Log.Debug("answer not delivered", zap.Error(err))
	}
}
