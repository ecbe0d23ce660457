//go:build browser

package trouble

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"poold/test/demo"
	"poold/test/monitor"
	"poold/test/protocol"
)

// The clouds, and what is to happen in each.
const (
	north, south, west = "demo-north", "demo-south", "demo-west"
)

// dead is the trouble of the region that is dead nearly all the time.
func dead() trouble {
	return trouble{"provider-silent", west + ": the cloud does not answer", "PooldProviderSilent", west, ""}
}

// Eight troubles, one after the other: each is named by the overview and raised
// by its alert, and the commands of the runbook cure it. A region that is dead
// from the beginning hinders none of the others. In the end there was data for
// everything that the dashboard and the alerts ask.
func TestTroubles(t *testing.T) {
	s := newSite(t)
	first, _ := s.newest(t, north)
	s.newest(t, south)
	s.newest(t, west)
	there := s.ask(t, "ci", "there", west, demo.Small)
	node := s.served(t, there)[0].ID
	s.sim(t, west, http.MethodPost, "faults", map[string]any{"kind": "cut"})
	t.Run("bad image", func(t *testing.T) { s.badImage(t, first) })
	t.Run("stuck deletes", s.stuckDeletes)
	t.Run("a client that never releases", s.neverReleased)
	t.Run("builder disk full", s.diskFull)
	t.Run("quota full", s.quotaFull)
	t.Run("429 storm", s.storm)
	t.Run("etcd slow", s.slowEtcd)
	t.Run("dead region", func(t *testing.T) { s.deadRegion(t, there, node) })
	t.Run("queries", s.queries)
}

// A new build that the cloud does not start: nodes are made from the one before,
// and once that is withdrawn and another built, from that.
func (s *site) badImage(t *testing.T, first string) {
	t.Helper()
	s.poolctl(t, "image build "+image)
	bad, id := s.newest(t, north, first)
	s.sim(t, north, http.MethodPost, "faults", map[string]any{
		"kind": "status", "on": "compute POST /servers", "match": id, "status": http.StatusBadRequest,
		"body": `{"badRequest":{"code":400,"message":"Image is unacceptable: its kernel is missing"}}`,
	})
	r := s.ask(t, "ci", "bad-image", north, demo.Small, demo.Small)
	w := trouble{"image-bad", "image " + image + " is bad in " + north, "PooldImageBad", north, image}
	s.shows(t, w)
	if build := s.node(t, s.served(t, r)[0].ID, "build"); build != first {
		t.Errorf("nodes are from %s and not from the build before, %s", build, first)
	}
	s.shell(t, steps(t, "image-bad"), "IMAGE="+image, "BUILD="+bad)
	s.over(t, w)
	mended, _ := s.newest(t, north, first, bad)
	again := s.ask(t, "ci", "mended-image", north, demo.Small)
	if build := s.node(t, s.served(t, again)[0].ID, "build"); build != mended {
		t.Errorf("a node is from %s, not from the mended build %s", build, mended)
	}
	s.release(t, r)
	s.release(t, again)
}

// A server that the cloud does not delete.
func (s *site) stuckDeletes(t *testing.T) {
	t.Helper()
	s.sim(t, north, http.MethodPost, "faults", map[string]any{"kind": "stuck-delete"})
	r := s.ask(t, "ci", "stuck", north, demo.Small)
	node := s.served(t, r)[0].ID
	server := s.node(t, node, "instance_id")
	s.release(t, r)
	s.await(t, node+" is being deleted", func() (string, bool) {
		state := s.node(t, node, "state")
		return state, state == "deleting"
	})
	s.age(t, north, node, 11*time.Minute)
	w := trouble{"deletes-stuck", north + ": 1 delete is stuck", "PooldDeletesStuck", north, ""}
	s.shows(t, w)
	s.shell(t, steps(t, "deletes-stuck"), "PROVIDER="+north, "NODE="+node, "SERVER="+server, "CLOUD="+north, asCloud+"="+s.in(t, north).URL)
	s.over(t, w)
}

// A client that keeps its lease alive and never gives its node back.
func (s *site) neverReleased(t *testing.T) {
	t.Helper()
	r := s.ask(t, "forgetful", "job", north, demo.Small)
	node := s.served(t, r)[0].ID
	s.age(t, north, node, 13*time.Hour)
	w := trouble{"never-released", "client forgetful keeps 1 node for very long", "PooldNeverReleased", "", ""}
	s.shows(t, w)
	s.shell(t, steps(t, "never-released"), "NODE="+node)
	s.over(t, w)
	s.release(t, r)
}

// Something that is not poold's fills the builder's disk.
func (s *site) diskFull(t *testing.T) {
	t.Helper()
	junk := filepath.Join(s.images, "core")
	f, err := os.Create(junk)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 1<<20))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	var known []string
	for _, u := range s.list(t, "uploads?provider="+north) {
		known = append(known, u["build"].(string)) //nolint:forcetypeassert // it is a name
	}
	s.poolctl(t, "image build "+image)
	w := trouble{"build-fails", "image " + image + " cannot be built on ", "PooldBuildFails", "", image}
	s.shows(t, w)
	s.shell(t, steps(t, "build-fails"), "IMAGE="+image, "IMAGES_DIR="+s.images, "FILE="+junk)
	s.newest(t, north, known...)
	s.over(t, w)
}

// A node that somebody holds takes the last of the quota, and a request waits.
func (s *site) quotaFull(t *testing.T) {
	t.Helper()
	before := s.ask(t, "ci", "held", north, demo.Small)
	held := s.served(t, before)[0].ID
	s.poolctl(t, "node hold "+held+" --reason 'to be looked at'")
	s.release(t, before)
	s.sim(t, north, http.MethodPut, "quota", map[string]any{"instances": 1})
	r := s.ask(t, "ci", "quota", north, demo.Small)
	w := trouble{"quota-full", north + ": the quota is used up", "PooldQuotaFull", north, ""}
	s.shows(t, w)
	s.shell(t, steps(t, "quota-full"), "PROVIDER="+north, "NODE="+held)
	s.served(t, r)
	s.over(t, w)
	s.release(t, r)
	s.sim(t, north, http.MethodPut, "quota", map[string]any{"instances": 30})
}

// A cloud that takes one call in two seconds, and a configuration that says
// twenty a second. Nodes of two sizes are two calls, and they are looked for at once.
func (s *site) storm(t *testing.T) {
	t.Helper()
	s.sim(t, south, http.MethodPut, "rate", map[string]any{"rate": 0.5, "burst": 1})
	r := s.ask(t, "ci", "storm", south, demo.Small, demo.Large)
	w := trouble{"rate-limited", south + ": the cloud refuses calls as too many", "PooldRateLimited", south, ""}
	s.shows(t, w)
	s.shell(t, steps(t, "rate-limited"), "PROVIDER="+south, "RATE=3", "CONFIG="+s.config)
	s.served(t, r)
	s.over(t, w)
	s.release(t, r)
}

// An etcd whose answers take most of a second, until its disk has nothing else to
// do. Nodes are handed out all the same.
func (s *site) slowEtcd(t *testing.T) {
	t.Helper()
	s.etcd.delay.Store(int64(900 * time.Millisecond))
	r := s.ask(t, "ci", "slow", north, demo.Small)
	w := trouble{"etcd-slow", "etcd is slow", "PooldEtcdSlow", "", ""}
	s.shows(t, w)
	s.served(t, r)
	s.shell(t, steps(t, "etcd-slow"), "ETCD="+s.Etcd.Etcd)
	s.etcd.delay.Store(0)
	s.release(t, r)
	s.over(t, w)
}

// The region does not answer. Requests that may go elsewhere do; when it is back,
// so is all that was there.
func (s *site) deadRegion(t *testing.T, there *protocol.Request, node string) {
	t.Helper()
	s.shows(t, dead())
	s.shell(t, steps(t, "provider-silent"), "PROVIDER="+west, "CLOUD="+west, asCloud+"="+s.in(t, west).URL)
	elsewhere := s.ask(t, "ci", "elsewhere", "", demo.Small)
	if n := s.served(t, elsewhere)[0]; n.Provider == west {
		t.Errorf("served in %s, which does not answer", n.Provider)
	}
	s.sim(t, west, http.MethodDelete, "faults", nil)
	s.over(t, dead())
	if state := s.node(t, node, "state"); state != "in-use" {
		t.Errorf("%s, which was in use, is %s", node, state)
	}
	back := s.ask(t, "ci", "back", west, demo.Small)
	s.served(t, back)
	for _, r := range []*protocol.Request{there, elsewhere, back} {
		s.release(t, r)
	}
	s.await(t, "all servers are gone", func() (string, bool) {
		left := 0
		for _, c := range s.Clouds.Clouds {
			servers, err := demo.Cloud.Servers(c, t.Context())
			if err != nil {
				return err.Error(), false
			}
			left += len(servers)
		}
		return fmt.Sprint(left), left == 0
	})
}

// Whatever the dashboard shows and the alerts look at has been there.
func (s *site) queries(t *testing.T) {
	t.Helper()
	asked := monitor.Queries(t, dashboardFile)
	for _, r := range monitor.Rules(t, rulesFile) {
		asked = append(asked, r.Measure())
	}
	for _, query := range asked {
		if n, err := s.watch.Had(t, query, s.began); n == 0 || err != nil {
			t.Errorf("no data: %s %v", query, err)
		}
	}
}
