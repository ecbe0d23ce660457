package openstack

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"sync"

	"poold/cloud"
)

// maxServers is of how many servers the ports are asked for with one call: the
// ids are part of the URL.
const maxServers = 100

// portLookup gathers the servers whose ports are wanted: while one list is
// under way, the next ones wait to be asked for together.
type portLookup struct {
	mu   sync.Mutex // guards next
	next *portBatch
	// turn is held by whoever asks.
	turn chan struct{}
}

// portBatch is the servers of one list.
type portBatch struct {
	servers []string
	done    chan struct{}
	// What follows is written before done is closed.
	ports map[string][]port
	err   error
	// abandoned says that whoever asked gave up.
	abandoned bool
}

// join adds a server to the next list.
func (l *portLookup) join(server string) *portBatch {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == nil || len(l.next.servers) == maxServers {
		l.next = &portBatch{done: make(chan struct{})}
	}
	l.next.servers = append(l.next.servers, server)
	return l.next
}

// leave closes a batch for others who would join it.
func (l *portLookup) leave(b *portBatch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == b {
		l.next = nil
	}
}

// portsOf returns the ports of a server. One list serves all who ask while
// another is under way.
func (d *Driver) portsOf(ctx context.Context, server string) ([]port, error) {
	for {
		b := d.ports.join(server)
		if err := d.asked(ctx, b); err != nil {
			return nil, err
		}
		if !b.abandoned || ctx.Err() != nil {
			return b.ports[server], b.err
		}
	}
}

// asked waits until a batch was asked for, or asks for it when its turn comes.
func (d *Driver) asked(ctx context.Context, b *portBatch) error {
	select {
	case <-b.done:
	case d.ports.turn <- struct{}{}:
		d.lead(ctx, b)
		<-d.ports.turn
	case <-ctx.Done():
		return &cloud.Error{Kind: cloud.Transient, Op: "list ports", Err: context.Cause(ctx)}
	}
	return nil
}

// lead asks for a batch, unless somebody has.
func (d *Driver) lead(ctx context.Context, b *portBatch) {
	select {
	case <-b.done:
		return
	default:
	}
	d.ports.leave(b)
	b.ports, b.err = d.listPorts(ctx, b.servers)
	b.abandoned = b.err != nil && ctx.Err() != nil
	close(b.done)
}

// listPorts asks for the ports of servers.
func (d *Driver) listPorts(ctx context.Context, servers []string) (map[string][]port, error) {
	found := map[string][]port{}
	r := request{
		service: cloud.Network, method: http.MethodGet, path: "/v2.0/ports", what: "list ports",
		query: url.Values{
			"device_id": servers,
			"fields":    {"id", "device_id", "network_id", "mac_address", "created_at", "fixed_ips"},
		},
	}
	err := d.pages(ctx, r, func(body io.Reader) (string, error) {
		var page struct {
			Ports []port `json:"ports"`
			Links []link `json:"ports_links"`
		}
		err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&page)
		for _, p := range page.Ports {
			found[p.ServerID] = append(found[p.ServerID], p)
		}
		return nextLink(page.Links), err
	})
	return found, err
}
