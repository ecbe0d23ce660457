// Package web serves what poold knows over HTTP: health for machines, metrics
// for Prometheus, and every list as JSON.
//
//	/healthz            the process is alive
//	/readyz             200 when it can do its work, else 503 and what is wrong
//	/metrics            Prometheus
//	/api/v1/KIND        {"items":[...]} for nodes, requests, images, uploads,
//	                    providers, labels and peers
//	/image-files/NAME   an image, while a cloud is to fetch it by that name
//	/node-list ...      nodepool's own paths, for what was written for them
//
// Everything is read from the cache of records; no request reaches etcd or a
// cloud, and nothing can be changed here. The addresses and host keys of a node
// are shown while it is in use or held, and at no other time.
package web

import (
	"context"
	"encoding/json"
	"io"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"poold/pool"
)

// Check is one condition of readiness.
type Check struct {
	Name string `json:"name"`
	// Problem is what is wrong; empty if nothing is.
	Problem string `json:"problem,omitempty"`
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
	Image    func(ctx context.Context, name string) (io.ReadCloser, int64, error)
	Gatherer prometheus.Gatherer
	Log      *zap.Logger
}

// server answers requests from its configuration.
type server struct {
	Config
}

// New returns the handler for everything that the package serves.
func New(cfg Config) http.Handler {
	s := &server{cfg}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.index)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { s.reply(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(cfg.Gatherer, promhttp.HandlerOpts{}))
	for kind, list := range s.lists() {
		mux.HandleFunc("GET /api/v1/"+kind, func(w http.ResponseWriter, _ *http.Request) {
			snapshot := s.Snapshot()
			if snapshot == nil {
				s.reply(w, http.StatusServiceUnavailable, problem{errUnread})
				return
			}
			s.reply(w, http.StatusOK, map[string]any{"items": list(snapshot)})
		})
	}
	for path, list := range s.oldLists() {
		mux.HandleFunc("GET "+path, s.old(list))
	}
	mux.HandleFunc("GET /ready", s.oldReady)
	if s.Image != nil {
		mux.HandleFunc("GET /image-files/{name}", s.image)
	}
	return mux
}

// errUnread answers who asks too early.
const errUnread = "the records have not been read yet"

// problem is the body of every answer that is not a list.
type problem struct {
	Error string `json:"error"`
}

// index names what there is, for somebody who opens the port in a browser.
func (s *server) index(w http.ResponseWriter, _ *http.Request) {
	s.reply(w, http.StatusOK, map[string]any{"poold": []string{
		"/healthz", "/readyz", "/metrics", "/api/v1/images", "/api/v1/labels", "/api/v1/nodes", "/api/v1/peers",
		"/api/v1/providers", "/api/v1/requests", "/api/v1/uploads", "/dib-image-list", "/image-list", "/image-status",
		"/label-list", "/node-list", "/ready", "/request-list",
	}})
}

// ready answers 503 as long as any condition has a problem.
func (s *server) ready(w http.ResponseWriter, _ *http.Request) {
	checks, status := s.Ready(), http.StatusOK
	for _, c := range checks {
		if c.Problem != "" {
			status = http.StatusServiceUnavailable
		}
	}
	s.reply(w, status, map[string]any{"checks": checks})
}

// reply writes a value as JSON. A client that went away is no concern of ours.
func (s *server) reply(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(value); err != nil {
		s.Log.Debug("answer not delivered", zap.Error(err))
	}
}
