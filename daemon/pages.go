package daemon

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"poold/allocator"
	"poold/event"
	"poold/web"
)

const (
	// idleTime is how long a connection to the web server may do nothing, and
	// mostHeader how large the head of a request may be.
	idleTime   = 2 * time.Minute
	mostHeader = 64 << 10
	// mostConnections is how many there may be at once, so that whoever opens as
	// many as he can leaves files for etcd and the clouds.
	mostConnections = 4000
)

// connections counts those to the web server, and closes what is too much.
type connections struct{ open atomic.Int64 }

// note is called by the server at each change of a connection's state.
func (c *connections) note(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if c.open.Add(1) > mostConnections {
			_ = conn.Close() // the server finds out
		}
	case http.StateHijacked, http.StateClosed:
		c.open.Add(-1)
	case http.StateActive, http.StateIdle:
	}
}

// pages is what the web port serves, with its metrics among the others.
func (d *Daemon) pages() (*web.Server, error) {
	view := d.view.Load()
	var keep func([]event.Event)
	if d.cfg.Web.AuditLog != "" {
		log, err := openAudit(d.cfg.Web.AuditLog, time.Now(), d.log)
		if err != nil {
			return nil, err
		}
		keep = log.keep // the file is open for as long as the process lives
	}
	guard, err := d.guard()
	if err != nil {
		return nil, err
	}
	pages := web.New(web.Config{
		Snapshot: view.Snapshot,
		Changed:  view.Subscribe,
		Catalog:  d.united,
		Ready:    d.ready,
		Image:    d.imageFiles(),
		EventAge: d.cfg.Web.EventAge,
		Keep:     keep,
		Access:   guard,
		Closed:   d.cfg.Web.Closed,
		Operate:  d.operate,
		Breakers: allocator.Breakers,
		Etcd:     func() (time.Time, time.Duration) { return view.LastContact(), d.pace.latency() },
		Gatherer: d.registry,
		Log:      d.log.Named("web"),
	})
	d.registry.duty("pages").MustRegister(pages.Collector())
	return pages, nil
}

// front serves the pages, and before etcd was reached that it was not.
func (d *Daemon) front(w http.ResponseWriter, r *http.Request) {
	if pages := d.open.Load(); pages != nil {
		pages.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if r.URL.Path == "/healthz" {
		_, _ = io.WriteString(w, "ok\n") // whoever went away needs no answer
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	for _, c := range d.ready() {
		if c.Problem != "" {
			_, _ = fmt.Fprintf(w, "%s: %s\n", c.Name, c.Problem)
		}
	}
}

// ready lists the conditions of readiness.
func (d *Daemon) ready() []web.Check {
	checks := []web.Check{{Name: "session"}, {Name: "records"}, {Name: "writes"}, d.files.check()}
	if !d.session.Load() {
		checks[0].Problem = "no session with etcd: nothing is launched or deleted"
		if why := d.away.Load(); why != nil {
			checks[0].Problem += ": " + (*why).Error()
		}
	}
	if view := d.view.Load(); view == nil || !view.Synced() {
		checks[1].Problem = "the records are not up to date"
	}
	if why := d.writes.refused(time.Now()); why != nil {
		checks[2].Problem = "etcd takes no changes: " + why.Error()
	}
	return checks
}
