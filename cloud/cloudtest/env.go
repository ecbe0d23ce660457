package cloudtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"testing"

	"poold/cloud"
	"poold/pool"
)

// Fault is something that a cloud does to the next call it concerns, once.
type Fault string

// The faults that an [Env] may be able to cause.
const (
	// LostReply does what the next create asks, and loses the answer.
	LostReply Fault = "lost reply"
	// QuotaFull refuses the next create, because the quota is used up.
	QuotaFull Fault = "quota full"
	// TooMany refuses the next call with a time to wait.
	TooMany Fault = "too many requests"
	// Gone answers the next look at an instance as if it had never existed.
	Gone Fault = "gone"
)

// Env is a driver with a cloud to try it on. What is nil or zero is not
// there, and what needs it is not tested.
type Env struct {
	// Driver is what is tested, and Installation whose it is.
	Driver       cloud.Driver
	Installation string
	// Other drives the same project for another installation.
	Other             cloud.Driver
	OtherInstallation string

	// FlavorID, ImageID and Network are what instances can be made from;
	// ImageName is the image's name.
	FlavorID, ImageID, ImageName, Network string
	// Floats says that an instance in Network needs a floating IP.
	Floats bool
	// ServerGroup is the name of a server group that is there, with its id.
	ServerGroup, ServerGroupID string
	// Zone is an availability zone.
	Zone string
	// Tags says that instances can have tags, and Volumes that they can boot
	// from volumes.
	Tags, Volumes bool
	// Networks says that there are several networks, so that the cloud chooses
	// none by itself.
	Networks bool
	// Lent says that instances are not made but lent: their zone is all that
	// can be asked for, and Zone has room for four of them.
	Lent bool
	// Disks says that a snapshot of an instance has data. Hosts that only pretend
	// to run instances have none to give.
	Disks bool
	// Look says what the cloud made an instance with.
	Look func(id string) Made
	// DropKeyPair deletes a key pair, if it is there.
	DropKeyPair func(name string)
	// Again opens another driver for the same installation.
	Again func() cloud.Driver

	// Gate is the gate that Driver was opened with.
	Gate *Gate
	// Sent counts the calls that reached the cloud from Driver.
	Sent func() int
	// Inject causes a fault for Driver.
	Inject func(Fault)
	// Settle lets the cloud work for a moment.
	Settle func()
}

// Gate is a cloud.Gate that writes down what passes it.
type Gate struct {
	mu sync.Mutex // guards what follows
	// refusal is what Enter returns, if it is not nil.
	refusal error
	passed  []Passage
	open    int
	twice   bool
}

// Passage is one call that passed, with its lane.
type Passage struct {
	cloud.Call
	Lane cloud.Lane
}

// Enter lets the call pass unless the gate refuses.
func (g *Gate) Enter(ctx context.Context, call cloud.Call) (func(cloud.Outcome), error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refusal != nil {
		return nil, g.refusal
	}
	g.passed = append(g.passed, Passage{Call: call, Lane: cloud.LaneOf(ctx)})
	g.open++
	left := false
	return func(cloud.Outcome) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.twice = g.twice || left
		left = true
		g.open--
	}, nil
}

// refuse makes the gate refuse everything, or with nil nothing.
func (g *Gate) refuse(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refusal = err
}

// calls returns what has passed so far.
func (g *Gate) calls() []Passage {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.passed)
}

// balanced fails the test unless each call that entered has left once.
func (g *Gate) balanced(t *testing.T) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open != 0 || g.twice {
		t.Errorf("%d calls have not left the gate; one left twice: %v", g.open, g.twice)
	}
}

// idLike finds what an operation's name must not have: an id would make a
// series of its own of every call.
func idLike() *regexp.Regexp {
	return regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}|[0-9a-f]{16}|\?`)
}

// subject is an Env in a test.
type subject struct {
	Env
	t *testing.T
}

// newUUID mints a random UUID.
func newUUID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// spec is a batch of n instances of ours.
func (s *subject) spec(n int) cloud.BatchSpec {
	s.t.Helper()
	batch, err := pool.NewBatchID(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	spec := cloud.BatchSpec{
		Mark: cloud.Mark{Installation: s.Installation, Provider: "suite", Batch: batch, Revision: 42},
		Name: batch, Count: n, FlavorID: s.FlavorID, ImageID: s.ImageID,
		Properties: map[string]string{"purpose": "conformance"},
	}
	if s.Network != "" {
		spec.Networks = []string{s.Network}
	}
	if s.Lent {
		spec.AZ = s.Zone
	}
	return spec
}

// create makes instances and waits until all are active.
func (s *subject) create(spec cloud.BatchSpec) []cloud.Instance {
	s.t.Helper()
	if err := s.Driver.Create(s.t.Context(), spec); err != nil {
		s.t.Fatalf("create: %v", err)
	}
	return s.active(spec)
}

// active waits until the instances of a batch are all there and active, and
// returns them in the order of their numbers.
func (s *subject) active(spec cloud.BatchSpec) []cloud.Instance {
	s.t.Helper()
	found := make([]cloud.Instance, spec.Count)
	s.until("instances active", func() bool {
		n := 0
		for _, i := range s.batch(spec) {
			for k := range spec.Count {
				if i.Name == pool.InstanceName(spec.Name, k+1, spec.Count) && i.Status == cloud.StatusActive && len(i.Addresses) > 0 {
					found[k] = i
					n++
				}
			}
		}
		return n == spec.Count
	})
	return found
}

// batch lists the instances of a batch.
func (s *subject) batch(spec cloud.BatchSpec) []cloud.Instance {
	s.t.Helper()
	return slices.DeleteFunc(s.list(cloud.ListMark{}).Instances, func(i cloud.Instance) bool {
		return i.Mark.Batch != spec.Mark.Batch
	})
}

func (s *subject) list(since cloud.ListMark) cloud.Listing {
	s.t.Helper()
	l, err := s.Driver.Instances(s.t.Context(), since)
	if err != nil {
		s.t.Fatalf("list: %v", err)
	}
	return l
}

// tries bounds how often the cloud is asked whether it is done. A real one may
// share a busy machine with the test.
const tries = 1000

// until asks again and again, with time for the cloud in between.
func (s *subject) until(what string, done func() bool) {
	s.t.Helper()
	for range tries {
		if done() {
			return
		}
		s.settle()
	}
	s.t.Fatalf("%s: not after %d looks", what, tries)
}

func (s *subject) settle() {
	if s.Settle != nil {
		s.Settle()
	}
}

// is fails the test unless err is a *cloud.Error of one of the kinds.
func (s *subject) is(what string, err error, kinds ...cloud.Kind) {
	s.t.Helper()
	if _, ok := errors.AsType[*cloud.Error](err); !ok {
		s.t.Errorf("%s: got %v, want a *cloud.Error of kind %v", what, err, kinds)
		return
	}
	if !slices.Contains(kinds, cloud.KindOf(err)) {
		s.t.Errorf("%s: got %v, want kind %v", what, err, kinds)
	}
}

// clean removes what either installation has left behind.
func (s *subject) clean() {
	ctx := context.WithoutCancel(s.t.Context())
	for _, d := range []cloud.Driver{s.Driver, s.Other} {
		if d == nil {
			continue
		}
		s.until("clean up", func() bool { return cleanOne(ctx, d) == 0 })
	}
}

// cleanOne asks to delete all that a driver's installation has, and returns
// how much that was. Errors are not looked at: what is left shows.
func cleanOne(ctx context.Context, d cloud.Driver) int {
	left := 0
	if sweeper, ok := d.(cloud.Sweeper); ok {
		for _, kind := range []cloud.ResourceKind{cloud.FloatingIP, cloud.StoredImage} {
			found, _ := sweeper.Resources(ctx, kind)
			for _, r := range found {
				_ = sweeper.Remove(ctx, kind, r.ID)
			}
			left += len(found)
		}
	}
	l, err := d.Instances(ctx, cloud.ListMark{})
	if err != nil {
		return 1
	}
	for _, i := range l.Instances {
		if i.Status != cloud.StatusDeleting {
			_ = d.Delete(ctx, i.ID)
		}
	}
	return left + len(l.Instances)
}
