package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"poold/allocator"
	"poold/pool"
	"poold/web"
)

const (
	// idleTime is how long a connection to the web server may do nothing, and
	// mostHeader how large the head of a request may be.
	idleTime   = 2 * time.Minute
	mostHeader = 64 << 10
	// logTail is how much of the end of a build's log a page shows.
	logTail = 16 << 10
)

// pages is what the web port serves.
func (d *Daemon) pages() *web.Server {
	view := d.view.Load()
	return web.New(web.Config{
		Snapshot: view.Snapshot,
		Changed:  view.Subscribe,
		Catalog:  d.united,
		Ready:    d.ready,
		Image:    d.imageFiles(),
		Breakers: allocator.Breakers,
		Etcd:     func() (time.Time, time.Duration) { return view.LastContact(), 0 },
		BuildLog: d.buildLog,
		Gatherer: d.registry,
		Log:      d.log.Named("web"),
	})
}

// buildLog returns the end of the log of a build that this peer made.
func (d *Daemon) buildLog(b *pool.Build) (string, error) {
	if b.Builder != d.name || b.Log == "" {
		return "", errors.New("the log is not here")
	}
	file, err := os.Open(b.Log)
	if err != nil {
		return "", fmt.Errorf("read the log of a build: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return "", fmt.Errorf("read the log of a build: %w", err)
	}
	tail, err := io.ReadAll(io.NewSectionReader(file, max(0, info.Size()-logTail), logTail))
	if err != nil {
		return "", fmt.Errorf("read the log of a build: %w", err)
	}
	return string(tail), nil
}

// ready lists the conditions of readiness.
func (d *Daemon) ready() []web.Check {
	checks := []web.Check{{Name: "session"}, {Name: "records"}}
	if !d.session.Load() {
		checks[0].Problem = "no session with etcd: nothing is launched or deleted"
	}
	if !d.view.Load().Synced() {
		checks[1].Problem = "the records are not up to date"
	}
	return checks
}
