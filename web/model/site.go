// Package model works out what an operator is to see from the records, the
// configuration and the time: how many nodes of what there are, who waits, how
// full the clouds are, and above all what is wrong, who is to blame, and since
// when. It is pure; package web draws it.
package model

import (
	"time"

	"poold/pool"
)

// Input is what a site is made from.
type Input struct {
	Records *pool.Snapshot
	Catalog *pool.Catalog
	// Breakers are the launches that are stopped.
	Breakers []pool.Breaker
	Facts    Facts
	Now      time.Time
}

// Facts is what the process knows besides the records.
type Facts struct {
	// EtcdContact is when etcd last answered; zero if it never did.
	EtcdContact time.Time
	// EtcdLatency is how long etcd takes to answer of late.
	EtcdLatency time.Duration
	// Clouds are the providers that this peer calls, by name.
	Clouds map[string]Cloud
}

// Cloud is what this peer saw of a cloud that it calls.
type Cloud struct {
	// LastList is when the newest list of instances that was answered began;
	// zero if this peer does not list.
	LastList time.Time
	// Unanswered is since when no list was answered that was asked for; zero if
	// the last one was.
	Unanswered time.Time
	// PausedUntil is when the cloud may be called again after it refused a call
	// as one too many.
	PausedUntil time.Time
	// Services are those that were called, sorted by name.
	Services []Service
}

// Service is what this peer saw of one service of a cloud.
type Service struct {
	Name string
	// Rate is how many calls a second are let through; +Inf is no limit.
	Rate float64
	// Waiting is how many calls wait for their turn.
	Waiting int
	// Calls are how many there were, by operation and outcome, in a fixed order.
	Calls []Calls
}

// Calls is how many calls of an operation ended alike.
type Calls struct {
	Operation, Outcome string
	Count              int64
}

// Counts is how many nodes are in which part of their life.
type Counts struct {
	// Building are those that will be ready, and Leaving those that will be
	// gone.
	Building, Ready, InUse, Held, Failed, Leaving int
}

func (c *Counts) add(s pool.NodeState) {
	switch s {
	case pool.NodePending, pool.NodeBuilding:
		c.Building++
	case pool.NodeReady:
		c.Ready++
	case pool.NodeInUse:
		c.InUse++
	case pool.NodeHold:
		c.Held++
	case pool.NodeFailed:
		c.Failed++
	case pool.NodeUsed, pool.NodeDeleting:
		c.Leaving++
	case pool.NodeDeleted:
	}
}

// Site is all that the overview shows. Nothing of it may be changed.
type Site struct {
	Records *pool.Snapshot
	Catalog *pool.Catalog
	At      time.Time
	// Troubles are what is wrong, the worst first.
	Troubles  []Trouble
	Counts    Counts
	Labels    []Label
	Providers []Provider
	// Queue is who waits, next first; Waiting is how many nodes they ask for.
	Queue    []Waiting
	Waiting  int
	Failures []Failure
	Images   Matrix
	Boots    Boots
	Facts    Facts
}

// New makes a site.
func New(in Input) *Site {
	in.Breakers = inService(&in)
	s := &Site{Records: in.Records, Catalog: in.Catalog, At: in.Now, Facts: in.Facts}
	s.Labels = labels(&in)
	s.Providers = providers(&in)
	s.Queue = queue(&in)
	for i := range s.Queue {
		s.Waiting += len(s.Queue[i].Labels)
	}
	for _, n := range in.Records.Nodes {
		s.Counts.add(n.State)
	}
	s.demand()
	s.Failures = failures(&in)
	s.Images = matrix(&in)
	s.Boots = boots(in.Records.Nodes)
	s.Troubles = troubles(&in, s.Queue)
	return s
}

// Label returns the label of that name, or nil.
func (s *Site) Label(name string) *Label {
	return find(s.Labels, func(l *Label) bool { return l.Name == name })
}

// Provider returns the provider of that name, or nil.
func (s *Site) Provider(name string) *Provider {
	return find(s.Providers, func(p *Provider) bool { return p.Name == name })
}

func find[T any](list []T, fits func(*T) bool) *T {
	for i := range list {
		if fits(&list[i]) {
			return &list[i]
		}
	}
	return nil
}

// CountNodes counts the nodes of a label in a pool.
func CountNodes(nodes []*pool.Node, slice, label string) Counts {
	var c Counts
	for _, n := range nodes {
		if n.Pool == slice && n.Label == label {
			c.add(n.State)
		}
	}
	return c
}
