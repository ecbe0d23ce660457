//go:build lab

package lab

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// A day of a CI system in small: images go to both clouds, nodes are kept
// ready, given away, destroyed after use and replaced; in the end poold leaves
// both clouds as it found them.
func TestNodesForRequests(t *testing.T) {
	s := newSite(t)
	s.configure("nodepool.yaml.tmpl")
	s.run()
	s.awaitUploads(3 * time.Minute)
	s.awaitActive("lab-r1", 2)
	s.awaitActive("lab-r2", 1)

	s.etcd.request("two", "small-r1", "small-r1")
	used := s.awaitFulfilled("two", "small-r1", "small-r1")
	s.awaitActive("lab-r1", 4) // two in use, and two ready again
	s.etcd.release("two")
	s.awaitGone("lab-r1", used)
	s.awaitActive("lab-r1", 2)

	s.etcd.request("reachable", "public-r1")
	used = s.awaitFulfilled("reachable", "public-r1")
	s.expectFloatingIP("lab-r1", used[0])
	s.etcd.release("reachable")
	s.awaitGone("lab-r1", used)
	s.await("the floating IP is gone", 2*time.Minute, func() (string, bool) {
		ips := s.floatingIPs("lab-r1")
		return fmt.Sprintf("%+v", ips), len(ips) == 0
	})

	s.retire()
}

// given is a node of ours as the client sees it and as the cloud sees it.
type given struct {
	node   node
	server server
}

// awaitActive waits until a provider has exactly n servers of ours, all up.
func (s *site) awaitActive(provider string, n int) {
	s.t.Helper()
	s.await(fmt.Sprintf("%d servers are up in %s", n, provider), 5*time.Minute, func() (string, bool) {
		servers := s.servers(provider)
		up := !slices.ContainsFunc(servers, func(v server) bool { return v.Status != "ACTIVE" })
		return fmt.Sprintf("%+v", servers), len(servers) == n && up
	})
}

// awaitFulfilled waits for the nodes of a request, and checks that they are
// the labels asked for, in order, each a server of ours that is up.
func (s *site) awaitFulfilled(id string, labels ...string) []given {
	s.t.Helper()
	var nodes []node
	s.await("the request "+id+" is fulfilled", 5*time.Minute, func() (string, bool) {
		var seen string
		var ok bool
		nodes, seen, ok = s.etcd.allocation(id)
		return seen, ok
	})
	if len(nodes) != len(labels) {
		s.t.Fatalf("asked for %v, got %+v", labels, nodes)
	}
	var found []given
	for i, n := range nodes {
		if n.Label != labels[i] || n.Provider != nodes[0].Provider {
			s.t.Errorf("asked for %v from one provider, got %+v", labels, nodes)
		}
		v := s.awaitServer(n)
		if slices.ContainsFunc(found, func(g given) bool { return g.server.ID == v.ID }) {
			s.t.Fatalf("the same server twice: %+v", nodes)
		}
		found = append(found, given{n, v})
	}
	return found
}

// awaitServer waits until the compute service shows a server of ours that is
// up at a node's address. It hears of floating IPs from the network service,
// some time after they are attached.
func (s *site) awaitServer(n node) server {
	s.t.Helper()
	var found server
	s.await("a server of ours is up at the address of node "+n.ID, time.Minute, func() (string, bool) {
		servers := s.servers(n.Provider)
		at := slices.IndexFunc(servers, func(v server) bool {
			return n.InterfaceIP != "" && v.has(n.InterfaceIP) && v.Status == "ACTIVE"
		})
		if at < 0 {
			return fmt.Sprintf("%s is not among %+v", n.InterfaceIP, servers), false
		}
		found = servers[at]
		return "", true
	})
	return found
}

// awaitGone waits until used servers no longer exist.
func (s *site) awaitGone(provider string, used []given) {
	s.t.Helper()
	s.await(fmt.Sprintf("%d used servers are gone", len(used)), 3*time.Minute, func() (string, bool) {
		have := ids(s.servers(provider))
		left := slices.ContainsFunc(used, func(g given) bool { return slices.Contains(have, g.server.ID) })
		return fmt.Sprintf("%v", have), !left
	})
}

// expectFloatingIP checks that a node's address is a floating IP, marked as
// ours and on a port of the node's server.
func (s *site) expectFloatingIP(provider string, g given) {
	s.t.Helper()
	ips, ports := s.floatingIPs(provider), s.regions[provider].ports()
	at := slices.IndexFunc(ips, func(ip floatingIP) bool { return ip.Address == g.node.InterfaceIP })
	if at < 0 {
		s.t.Fatalf("the address of %+v is none of our floating IPs %+v", g.node, ips)
	}
	if !slices.Contains(ports, port{ID: ips[at].Port, Device: g.server.ID}) {
		s.t.Errorf("the floating IP %+v is on no port of %+v", ips[at], g.server)
	}
}
