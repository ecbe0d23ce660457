//go:build lab

package lab

import (
	"testing"
	"time"

	"poold/test/proc"
)

// etcd loses everything while servers are in use: poold does not know them any
// more, and deletes none of them.
func TestEtcdWiped(t *testing.T) {
	t.Parallel()
	s, ours := inUse(t)
	s.etcd.wipe(t)
	s.survives(t, ours)
}

// etcd comes back as it was before some servers were made, which are in use:
// none of them is deleted, and none of those that it remembers.
func TestEtcdRestored(t *testing.T) {
	t.Parallel()
	s, _ := inUse(t)
	backup := s.etcd.save(t)
	ours := s.use(t)
	s.etcd.restore(t, backup)
	s.survives(t, ours)
}

// inUse is a site with servers in use, and what the cloud holds then.
func inUse(t *testing.T) (*site, inventory) {
	t.Helper()
	s := start(t, provider("r2", nil,
		pool("main", nil, label("plain", nil)),
		pool("public", keys{"auto-floating-ip": true}, label("floating", nil)),
	))
	return s, s.use(t)
}

// use takes two nodes into use, and returns what the cloud holds then.
func (s *site) use(t *testing.T) inventory {
	t.Helper()
	for _, label := range []string{"plain", "floating"} {
		s.server(t, s.ask(t, label).served(t)[0])
	}
	return s.tenant.inventory(t)
}

// survives checks that nothing of an inventory is deleted though the records
// are lost. What is asked for meanwhile is served, which makes the new records
// as many as the old ones were. A poold that ends itself is started again, as
// systemd does.
func (s *site) survives(t *testing.T, ours inventory) {
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
	s.before = nil // nobody has agreed to a deletion: the tenant takes all with it
}
