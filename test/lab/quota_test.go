//go:build lab

package lab

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// edge is a quota with room for three nodes.
type edge struct {
	service string
	limits  func(t *testing.T, n *tenant) object
	pool    keys
	label   keys
	// rival takes the room of one node, and returns how to give it back.
	rival func(t *testing.T, n *tenant) (leave func())
}

const edgeCloud = "r1"

func edges() map[string]edge {
	fixed := func(name string, limit int) func(*testing.T, *tenant) object {
		return func(*testing.T, *tenant) object { return object{name: limit} }
	}
	return map[string]edge{
		"instances": {service: compute, limits: fixed("instances", 3), rival: rivalServer},
		"cores":     {service: compute, limits: fixed("cores", 3), rival: rivalServer},
		"ram":       {service: compute, limits: fixed("ram", 3*512), rival: rivalServer},
		"ports":     {service: network, limits: threeMorePorts, rival: rivalPort},
		"floating-ips": {
			service: network, limits: fixed("floatingip", 3), rival: rivalFloatingIP,
			pool: keys{"auto-floating-ip": true},
		},
		"volume-gb": {
			service: volumes, limits: fixed("gigabytes", 3*2), rival: rivalVolume,
			label: keys{"boot-from-volume": true, "volume-size": 2},
		},
	}
}

// At the edge of a quota poold neither gets more than there is nor loses a
// request, also if somebody else takes the room that it believes in; what
// waits is served when there is room.
func TestQuota(t *testing.T) {
	t.Parallel()
	for name, e := range edges() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newTenant(t, edgeCloud)
			n.limit(t, edgeCloud, e.service, e.limits(t, n))
			s := newSite(t, n)
			s.run(t, nil, provider(edgeCloud, nil, pool("main", e.pool, label("edge", e.label))))

			first := s.ask(t, "edge")
			first.served(t)
			leave := e.rival(t, n) // poold does not know yet
			served, waiting := twoForOne(t, s, e)
			waiting.waits(t, "quota")
			s.awaitUp(t, edgeCloud, 2+rivals(e)) // what did not fit is gone
			// The limits are asked for again meanwhile, every 30 s.
			s.stays(t, "no more is tried", 45*time.Second, func(inventory) string {
				if ours := s.ours(t, edgeCloud); len(ours)-rivals(e) > 2 {
					return describe(ours)
				}
				return ""
			})
			first.release(t)
			waiting.served(t)

			last := s.ask(t, "edge")
			last.waits(t, "quota")
			leave()
			last.served(t)
			for _, r := range []*request{served, waiting, last} {
				r.release(t)
			}
			for _, f := range s.failures(t) {
				if f.Failure != "quota" {
					t.Errorf("a node failed for another reason than quota: %+v", f)
				}
			}
			s.retireAfterFailures(t)
		})
	}
}

// rivals is how many servers the rival has.
func rivals(e edge) int {
	if e.service == compute {
		return 1
	}
	return 0
}

// twoForOne asks for two nodes where there is room for one, and returns which
// of the requests got it. Both are asked at once, but for what neutron counts:
// it counts without a lock, so that two creates of one moment may both find
// room (neutron.db.quota.driver_nolock, its default).
func twoForOne(t *testing.T, s *site, e edge) (served, waiting *request) {
	t.Helper()
	if e.service == network {
		served = s.ask(t, "edge")
		served.served(t)
		return served, s.ask(t, "edge")
	}
	two := []*request{s.ask(t, "edge"), s.ask(t, "edge")}
	s.await(t, "one of two is served", long, func() (string, bool) {
		for i, r := range two {
			if r.answer(t).State == "fulfilled" {
				served, waiting = r, two[1-i]
				return "", true
			}
		}
		return show(two[0].answer(t)) + show(two[1].answer(t)), false
	})
	return served, waiting
}

func threeMorePorts(t *testing.T, n *tenant) object {
	t.Helper()
	c := n.regions[edgeCloud]
	return object{"port": 3 + len(list[port](t, c, network, "/v2.0/ports?project_id="+n.id, "ports"))}
}

func rivalServer(t *testing.T, n *tenant) func() {
	t.Helper()
	v := n.newServer(t, edgeCloud, "rival", nil)
	return func() { n.regions[edgeCloud].remove(t, compute, "/servers/"+v.ID) }
}

func rivalPort(t *testing.T, n *tenant) func() {
	t.Helper()
	c := n.regions[edgeCloud]
	id := c.create(t, network, "/v2.0/ports", "port", object{"network_id": c.ownNetwork(t, tenantNet)})
	return func() { c.remove(t, network, "/v2.0/ports/"+id) }
}

func rivalFloatingIP(t *testing.T, n *tenant) func() {
	t.Helper()
	id := n.newFloatingIP(t, edgeCloud, "a rival's")
	return func() { n.regions[edgeCloud].remove(t, network, "/v2.0/floatingips/"+id) }
}

func rivalVolume(t *testing.T, n *tenant) func() {
	t.Helper()
	c := n.regions[edgeCloud]
	id := c.create(t, volumes, "/volumes", "volume", object{"size": 2, "name": "rival"})
	return func() {
		var answer struct{ Volume struct{ Status string } }
		c.must(t, http.MethodGet, volumes, "/volumes/"+id, nil, &answer)
		if answer.Volume.Status != "available" {
			t.Error(fmt.Errorf("the rival's volume is %s", answer.Volume.Status))
		}
		c.remove(t, volumes, "/volumes/"+id)
	}
}
