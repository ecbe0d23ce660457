//go:build lab

package lab

import (
	"strings"
	"testing"
	"time"

	"poold/test/proc"
)

// etcd loses everything while servers are in use. What begins anew is another
// installation: the servers are strangers to it, which it never touches, and a
// human's to remove.
func TestEtcdWiped(t *testing.T) {
	t.Parallel()
	s := newLosing(t)
	s.use(t)
	ours := s.tenant.inventory(t)
	s.etcd.wipe(t)
	s.survives(t, ours).release(t)
	s.before = ours
	s.retire(t)
}

// etcd comes back as it was before some servers were made, which are in use:
// none of them is deleted, and none of those that it remembers, until an
// operator agrees.
func TestEtcdRestored(t *testing.T) {
	t.Parallel()
	s := newLosing(t)
	remembered := s.use(t)
	known := s.tenant.inventory(t)
	backup := s.etcd.save(t)
	s.use(t)
	s.etcd.restore(t, backup)
	remembered = append(remembered, s.survives(t, s.tenant.inventory(t)))

	if list := s.poolctl(t, "leak", "list", "--provider", "r2"); strings.Count(list, "r2 ") < 3 {
		t.Errorf("two servers and a floating IP are forgotten; poolctl says:\n%s", list)
	}
	s.poolctl(t, "leak", "agree", "r2")
	s.await(t, "what was forgotten is gone", long, func() (string, bool) {
		servers := s.ours(t, "r2")
		return describe(servers), len(servers) == 3 && len(s.tenant.regions["r2"].floatingIPs(t)) == 1
	})
	if lost := known.missing(s.tenant.inventory(t)); lost != "" {
		t.Errorf("lost, though it is remembered:\n%s", lost)
	}
	for _, r := range remembered {
		r.release(t)
	}
	s.agreed = true
	s.retire(t)
}

// newLosing is a site whose etcd is going to lose something.
func newLosing(t *testing.T) *site {
	t.Helper()
	return start(t, provider("r2", nil,
		pool("main", nil, label("plain", nil)),
		pool("public", keys{"auto-floating-ip": true}, label("floating", nil)),
	))
}

// use takes two nodes into use, and waits until nova shows all their addresses.
func (s *site) use(t *testing.T) []*request {
	t.Helper()
	asked := []*request{s.ask(t, "plain"), s.ask(t, "floating")}
	for _, r := range asked {
		s.server(t, r.served(t)[0])
	}
	return asked
}

// survives checks that nothing of an inventory is deleted though the records
// are lost. What is asked for meanwhile, and returned, is served, which makes
// the new records as many as the old ones were. A poold that ends itself is
// started again, as systemd does.
func (s *site) survives(t *testing.T, ours inventory) *request {
	t.Helper()
	until := time.Now().Add(sweeps)
	more := s.ask(t, "plain")
	proc.Await(t, "servers in use survive", sweeps+soon, func() (string, bool) {
		select {
		case <-s.poold.Exited():
			s.again(t)
		default:
		}
		if lost := ours.missing(s.tenant.inventory(t)); lost != "" {
			t.Fatalf("lost:\n%s", lost)
		}
		return more.answer(t).State, time.Now().After(until)
	}, s.etcd.process)
	more.served(t)
	return more
}
