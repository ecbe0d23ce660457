package openstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
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
	l := listing{driver: d, since: since.At}
	l.Full = since.At.IsZero()
	if !l.Full {
		l.newest = since.At.Add(markMargin)
		r.query = url.Values{"changes-since": {since.At.UTC().Format(time.RFC3339)}}
	}
	err := d.pages(ctx, r, func(body io.Reader) (string, error) {
		defer func() { l.settled = true }()
		return decodeServers(io.LimitReader(body, maxList), l.add)
	})
	if err != nil {
		return cloud.Listing{}, err
	}
	if !l.newest.IsZero() {
		l.Next.At = l.newest.Add(-markMargin)
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
// keys, and returns the link to the next.
func decodeServers(body io.Reader, add func(*server)) (string, error) {
	dec := json.NewDecoder(body)
	if err := expect(dec, json.Delim('{')); err != nil {
		return "", err
	}
	var links []link
	found := false
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return "", fmt.Errorf("page of servers: %w", err)
		}
		switch key {
		case "servers":
			found = true
			err = decodeEach(dec, add)
		case "servers_links":
			err = dec.Decode(&links)
		default:
			err = dec.Decode(new(json.RawMessage))
		}
		if err != nil {
			return "", err
		}
	}
	if err := expect(dec, json.Delim('}')); err != nil {
		return "", err
	}
	if !found {
		return "", errors.New("page of servers: there is no list in it")
	}
	return nextLink(links), nil
}

func decodeEach(dec *json.Decoder, add func(*server)) error {
	if err := expect(dec, json.Delim('[')); err != nil {
		return err
	}
	for dec.More() {
		var s server
		if err := dec.Decode(&s); err != nil {
			return fmt.Errorf("page of servers: %w", err)
		}
		add(&s)
	}
	return expect(dec, json.Delim(']'))
}

func expect(dec *json.Decoder, want json.Delim) error {
	got, err := dec.Token()
	if err != nil {
		return fmt.Errorf("page of servers: %w", err)
	}
	if got != want {
		return fmt.Errorf("page of servers: %v where %v should be", got, want)
	}
	return nil
}
