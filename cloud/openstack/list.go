package openstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"poold/cloud"
)

// markMargin is how much earlier than the newest change of one list the next
// list of changes begins: the clocks of nova's hosts differ, and a change is
// stamped a little before it can be seen.
const markMargin = 5 * time.Second

// maxList bounds one page of servers.
const maxList = 64 << 20

// server is what is read of a server. A list has thousands of them, at some
// 1.4 kB each; what is not here is skipped without being stored.
type server struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Status     string            `json:"status"`
	Task       string            `json:"OS-EXT-STS:task_state"`
	AZ         string            `json:"OS-EXT-AZ:availability_zone"`
	HostID     string            `json:"hostId"`
	Metadata   map[string]string `json:"metadata"`
	Addresses  ordered           `json:"addresses"`
	AccessIPv4 string            `json:"accessIPv4"`
	AccessIPv6 string            `json:"accessIPv6"`
	Created    time.Time         `json:"created"`
	Updated    time.Time         `json:"updated"`
	Fault      struct {
		Message string `json:"message"`
	} `json:"fault"`
	Volumes []struct {
		ID string `json:"id"`
		// Dies is told from volumesMicroversion on.
		Dies bool `json:"delete_on_termination"`
	} `json:"os-extended-volumes:volumes_attached"`
}

// volumesMicroversion is the first one in which a server shows which of its
// volumes die with it. Every nova since 2015 has it.
const volumesMicroversion = "2.3"

// instance is the server in the words of poold.
func (s *server) instance() cloud.Instance {
	i := cloud.Instance{
		ID: s.ID, Name: s.Name, Status: s.status(), Mark: cloud.MarkOf(s.Metadata),
		AZ: s.AZ, HostID: s.HostID, Addresses: s.Addresses, AccessIPv4: s.AccessIPv4, AccessIPv6: s.AccessIPv6, Created: s.Created,
	}
	for _, v := range s.Volumes {
		if v.Dies {
			i.Volumes = append(i.Volumes, v.ID)
		}
	}
	if s.Fault.Message != "" {
		i.Fault = message([]byte(s.Fault.Message))
		i.FaultKind = faultKind(s.Fault.Message)
	}
	return i
}

func (s *server) status() cloud.Status {
	if s.Status != "DELETED" && (s.Task == "deleting" || s.Task == "soft-deleting") {
		return cloud.StatusDeleting
	}
	switch s.Status {
	case "BUILD":
		return cloud.StatusBuilding
	case "ACTIVE":
		return cloud.StatusActive
	case "ERROR":
		return cloud.StatusError
	case "DELETED":
		return cloud.StatusDeleted
	case "SOFT_DELETED":
		return cloud.StatusDeleting
	}
	return cloud.StatusOther
}

// Instances lists our servers, page by page.
//
// The mark for the next list is the newest change that any server on the first
// page shows; a later page is of a later moment, and what changed on the first
// meanwhile must not be lost. That is the cloud's own clock, of the database that changes-since is
// compared with; a Date header would be a second clock, and is not always
// there. Where nothing changes the mark stands still, which costs nothing but
// seeing the last changes again.
func (d *Driver) Instances(ctx context.Context, since cloud.ListMark) (cloud.Listing, error) {
	r := request{
		service: cloud.Compute, method: http.MethodGet, path: "/servers/detail", what: "list servers",
		microversion: volumesMicroversion,
	}
	l := listing{driver: d, since: since.At, before: d.shown.take()}
	l.Full = since.At.IsZero()
	if !l.Full {
		l.newest = since.At.Add(markMargin)
		l.now = map[string]*known{}
		r.query = url.Values{"changes-since": {since.At.UTC().Format(time.RFC3339)}}
	}
	err := d.pages(ctx, r, func(body io.Reader) (string, error) {
		defer func() { l.settled = true }()
		return decodeServers(io.LimitReader(body, maxList), l.read)
	})
	if err != nil {
		return cloud.Listing{}, err
	}
	if !l.newest.IsZero() {
		l.Next.At = l.newest.Add(-markMargin)
	}
	if !l.Full && l.Next.At.After(since.At) {
		d.shown.keep(l.now) // where nothing changes the next list is far
	}
	if !l.Full {
		l.Others = 0
	}
	return l.Listing, nil
}

// listing is a list in the making.
type listing struct {
	cloud.Listing
	driver *Driver
	since  time.Time
	newest time.Time
	// settled says that the first page is done, and with it newest.
	settled bool
	// before is what the last list of changes showed, now what this one does;
	// nil for a full list.
	before, now map[string]*known
}

// known is a server as it was read, and the text that it was read from.
type known struct {
	server

	text string
}

// shown is what the last list of changes showed, by its text. As each one goes
// back further than the last, most of the next is the same to the last byte and
// is not read again.
type shown struct {
	mu    sync.Mutex // guards known
	known map[string]*known
}

// take returns what is known, which is nobody else's then.
func (s *shown) take() map[string]*known {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.known
	s.known = nil
	return taken
}

func (s *shown) keep(known map[string]*known) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = known
}

// read takes in the text of a server.
func (l *listing) read(text []byte) error {
	k := l.before[string(text)]
	if k == nil {
		k = &known{}
		if err := json.Unmarshal(text, &k.server); err != nil {
			return err
		}
		if l.now != nil {
			k.text = string(text)
		}
	}
	if l.now != nil {
		l.now[k.text] = k
	}
	l.add(&k.server)
	return nil
}

func (l *listing) add(s *server) {
	if !l.settled && s.Updated.After(l.newest) {
		l.newest = s.Updated
	}
	// Some clouds do not know changes-since and list everything.
	if !s.Updated.IsZero() && s.Updated.Before(l.since.Truncate(time.Second)) {
		l.Full = true
	}
	ours := s.Metadata[cloud.KeyInstallation] == l.driver.installation
	// Nova forgets the metadata of a server that it deletes.
	forgotten := s.Status == "DELETED" && len(s.Metadata) == 0
	if ours || forgotten {
		l.Instances = append(l.Instances, s.instance())
		return
	}
	l.Others++
}

// decodeServers reads a page one server at a time, whatever the order of its
// keys, and returns the link to the next. The texts are good for the time of
// the call.
func decodeServers(body io.Reader, read func(text []byte) error) (string, error) {
	in := newScanner(body)
	var links []link
	found := false
	err := in.each('{', '}', func() error {
		key, err := in.next()
		if err != nil {
			return err
		}
		servers, more := string(key) == `"servers"`, string(key) == `"servers_links"`
		if err := in.expect(':'); err != nil {
			return err
		}
		if servers {
			found = true
			return in.each('[', ']', func() error {
				text, err := in.next()
				if err != nil {
					return err
				}
				return read(text)
			})
		}
		text, err := in.next()
		if err == nil && more {
			err = json.Unmarshal(text, &links)
		}
		return err
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("page of servers: %w", err)
	case !found:
		return "", errors.New("page of servers: there is no list in it")
	}
	return nextLink(links), nil
}
