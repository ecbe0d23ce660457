package sim

import (
	"slices"
	"strings"
	"time"

	"poold/cloud"
)

// FaultKind is what goes wrong.
type FaultKind string

// The faults of calls. On says of which.
const (
	// FaultStatus answers with Status (503), Body and RetryAfter; nothing
	// happens.
	FaultStatus FaultKind = "status"
	// FaultCut cuts the connection; nothing happens.
	FaultCut FaultKind = "cut"
	// FaultLostReply does what was asked, then cuts the connection.
	FaultLostReply FaultKind = "lost-reply"
	// FaultStatusAfter does what was asked, then answers with Status (500).
	FaultStatusAfter FaultKind = "status-after"
	// FaultSlow does what was asked at once and answers after Delay.
	FaultSlow FaultKind = "slow"
	// FaultRevoke takes back all tokens before the call.
	FaultRevoke FaultKind = "revoke-tokens"
)

// The faults of servers, chosen by Match in the name when they are made; On
// is of no account.
const (
	// FaultStuckBuild leaves a server in BUILD for ever.
	FaultStuckBuild FaultKind = "stuck-build"
	// FaultServerError makes it ERROR with Body as its fault, when it would
	// have become active.
	FaultServerError FaultKind = "server-error"
	// FaultNoSSH makes it active, but it never answers.
	FaultNoSSH FaultKind = "no-ssh"
	// FaultVanish removes it, Delay after it was made, without being asked.
	FaultVanish FaultKind = "vanish"
	// FaultStuckDelete, asked when a delete is, makes it never end. Removing
	// the fault lets a later delete work.
	FaultStuckDelete FaultKind = "stuck-delete"
)

// The faults of an upload, chosen by Match in the image's id or name.
const (
	// FaultImageKilled ends an upload with 500 and the image in "killed".
	FaultImageKilled FaultKind = "image-killed"
	// FaultImageDeleted deletes the image while it is sent.
	FaultImageDeleted FaultKind = "image-deleted"
	// FaultImportFails fails an import or a copy that was accepted.
	FaultImportFails FaultKind = "import-fails"
)

// The faults of the world. They last until they are removed, Times and After
// are of no account.
const (
	// FaultStaleList makes lists show the servers as they were Delay ago.
	FaultStaleList FaultKind = "stale-list"
	// FaultCellDown makes lists omit the servers of a cell without a word;
	// a look by id or a delete in it is answered with 500.
	FaultCellDown FaultKind = "cell-down"
	// FaultZoneGone takes the zone that Match names away: it is not listed
	// and nothing can be made there.
	FaultZoneGone FaultKind = "zone-gone"
)

// Fault is something that goes wrong, until it was removed or happened often
// enough.
type Fault struct {
	Kind FaultKind `json:"kind"`
	// On is the call: a service ("compute"), an operation
	// ("POST /servers"), both ("compute POST /servers"), or any ("").
	On string `json:"on,omitempty"`
	// Match is a part of the name or id that it concerns, over HTTP also of
	// the body; "" is any.
	Match string `json:"match,omitempty"`
	// Times is how often it happens; 0 is always.
	Times int `json:"times,omitempty"`
	// After is how many times it could happen and does not, at first.
	After int `json:"after,omitempty"`
	// Percent is in how many of a hundred cases it happens, spread evenly; 0
	// is in all.
	Percent int `json:"percent,omitempty"`

	// Status is the HTTP status of the answer, Body its whole text.
	Status int    `json:"status,omitempty"`
	Body   string `json:"body,omitempty"`
	// RetryAfter and Delay are in nanoseconds as JSON.
	RetryAfter time.Duration `json:"retry_after,omitempty"`
	Delay      time.Duration `json:"delay,omitempty"`
	// Cell counts from 0.
	Cell int `json:"cell,omitempty"`
}

// armed is a fault with how often it could have happened.
type armed struct {
	Fault
	seen int
}

// AddFault puts a fault in.
func (c *Cloud) AddFault(f Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, &armed{Fault: f})
}

// ClearFaults removes all faults. What they did stays done.
func (c *Cloud) ClearFaults() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = nil
}

// take returns the first fault of a kind that strikes something with one of
// the names, and counts it.
func (c *Cloud) take(kind FaultKind, names ...string) *Fault {
	for _, f := range c.faults {
		if f.Kind == kind && f.matches(names) && f.strikes() {
			c.tell(f)
			return &f.Fault
		}
	}
	return nil
}

// lasting returns a fault of the world, if it is there.
func (c *Cloud) lasting(kind FaultKind, is func(f *Fault) bool) *Fault {
	for _, f := range c.faults {
		if f.Kind == kind && is(&f.Fault) {
			c.tell(f)
			return &f.Fault
		}
	}
	return nil
}

func (c *Cloud) tell(f *armed) {
	if c.cfg.Struck != nil {
		c.cfg.Struck(f.Fault)
	}
}

func (f *armed) matches(names []string) bool {
	return f.Match == "" || slices.ContainsFunc(names, func(n string) bool { return strings.Contains(n, f.Match) })
}

func (f *armed) strikes() bool {
	f.seen++
	if f.seen <= f.After || f.Times != 0 && f.seen > f.After+f.Times {
		return false
	}
	return f.Percent == 0 || f.seen*f.Percent/100 > (f.seen-1)*f.Percent/100
}

func (f *armed) on(call cloud.Call) bool {
	switch f.On {
	case "", string(call.Service), call.Operation, string(call.Service) + " " + call.Operation:
		return true
	}
	return false
}
