package sim

import (
	"fmt"
	"slices"
	"time"

	"poold/cloud"
	"poold/cloud/sim"
	"poold/pool"
)

// pay takes a call out of the budget of a cloud's rate.
func (y *day) pay(c *dayCloud) bool {
	if c.tokens < 1 {
		return false
	}
	c.tokens--
	y.calls++
	if c.down {
		y.lost++
		return false
	}
	return true
}

// launcher is what the owner of a provider does in a tick: first deletes, then
// creates, then looks.
func (y *day) launcher(c *dayCloud) {
	rate := float64(time.Second) / float64(c.conf.Rate)
	c.tokens = min(c.tokens+rate*tickFlag.Seconds(), rate*max(1, tickFlag.Seconds()))
	if y.now.Sub(c.facts) >= 5*time.Minute {
		y.look(c)
	}
	if c.quota == nil {
		return
	}
	pending := map[string][]*pool.Node{}
	for i, n := range slices.Clone(c.nodes) {
		switch n.State {
		case pool.NodePending:
			key := n.FlavorID + n.ImageID
			pending[key] = append(pending[key], n)
		case pool.NodeUsed, pool.NodeFailed:
			y.move(c, i, pool.NodeDeleting, "")
		case pool.NodeDeleting:
			y.remove(c, i, n)
		case pool.NodeBuilding:
			if at, _ := n.Entered(pool.NodeBuilding); y.now.Sub(at) > c.conf.LaunchTimeout {
				y.fail(c, i, pool.KindTimeout)
			}
		case pool.NodeReady, pool.NodeInUse, pool.NodeHold, pool.NodeDeleted:
		}
	}
	for _, key := range sortedKeys(pending) {
		for batch := range slices.Chunk(pending[key], 50) {
			y.create(c, batch)
		}
	}
	if y.now.Sub(c.listed) >= 5*time.Second && y.pay(c) {
		y.list(c)
	}
	c.nodes = slices.DeleteFunc(c.nodes, func(n *pool.Node) bool { return n.State == pool.NodeDeleted && y.forgettable(n) })
}

// forgettable tells whether a deleted node has nothing to say: to the breakers
// only failures have, for as long as the allocator keeps them.
func (y *day) forgettable(n *pool.Node) bool {
	return n.Failure == "" || y.now.Sub(n.Since) > time.Hour
}

// look is the look at the facts: five calls.
func (y *day) look(c *dayCloud) {
	for range 5 {
		if !y.pay(c) {
			return
		}
	}
	c.facts = y.now
	f := c.cloud.Facts(y.now)
	y.revision++
	c.quota = &pool.Quota{
		V: pool.RecordVersion, Provider: c.conf.Name, At: y.now, Limits: f.Limits, Flavors: f.Flavors, Zones: f.Zones,
		CloudImages: map[string]string{"noble": c.image(y.now, "noble")}, Record: pool.Record{Revision: y.revision},
	}
}

func (c *dayCloud) image(now time.Time, name string) string {
	all := c.cloud.Images(now)
	return all[slices.IndexFunc(all, func(i sim.Image) bool { return i.Name == name })].ID
}

func (y *day) move(c *dayCloud, at int, to pool.NodeState, reason string) *pool.Node {
	from := c.nodes[at].State
	n := c.nodes[at].Moved(to, pool.Launcher, reason, y.now)
	if err := pool.NodeMachine().CheckWrite(&from, to, pool.Launcher); err != nil {
		y.t.Fatalf("I7: %v", err)
	}
	c.put(at, n, y)
	return n
}

func (y *day) fail(c *dayCloud, at int, kind pool.Kind) {
	n := y.move(c, at, pool.NodeFailed, string(kind))
	n.Failure = kind
	y.failed++
}

// create asks for a batch once.
func (y *day) create(c *dayCloud, batch []*pool.Node) {
	if c.tokens < 1 {
		return // another tick
	}
	y.ids++
	name := fmt.Sprintf("p%09d", y.ids)
	if batch[0].ImageID == c.image(y.now, "own-2") {
		name = "bad" + name
	}
	for k, n := range batch {
		after := y.move(c, c.find(n.ID), pool.NodeBuilding, "")
		after.Batch, after.BatchIndex, after.BatchSize = name, k+1, len(batch)
	}
	if !y.pay(c) {
		for _, n := range batch {
			y.fail(c, c.find(n.ID), pool.KindTransient)
		}
		return
	}
	made, err := c.cloud.CreateServers(y.now, sim.ServerSpec{
		Name: name, Max: len(batch), Flavor: batch[0].FlavorID, ImageID: batch[0].ImageID,
		Metadata: map[string]string{cloud.KeyInstallation: installation},
	})
	for k, n := range batch {
		at := c.find(n.ID)
		if k >= len(made) || err != nil {
			y.fail(c, at, pool.KindQuota)
			c.facts = time.Time{}
			continue
		}
		c.nodes[at].InstanceID = made[k].ID
		c.put(at, c.nodes[at], y)
	}
}

// remove asks once for a delete, and again after a minute.
func (y *day) remove(c *dayCloud, at int, n *pool.Node) {
	if n.InstanceID == "" {
		y.move(c, at, pool.NodeDeleted, "")
		return
	}
	if n.DeleteAsked != nil && y.now.Sub(*n.DeleteAsked) < time.Minute || !y.pay(c) {
		return
	}
	after := n.Clone()
	now := y.now
	after.DeleteAsked = &now
	c.put(at, after, y)
	if err := c.cloud.DeleteServer(y.now, n.InstanceID); err != nil {
		y.gone(c, after)
	}
}

func (y *day) gone(c *dayCloud, n *pool.Node) {
	delete(c.server, n.InstanceID)
	if n.State == pool.NodeDeleting {
		y.move(c, c.find(n.ID), pool.NodeDeleted, "")
	}
}

// list sees what became of the servers; the calls of further pages count.
func (y *day) list(c *dayCloud) {
	q := sim.ServerQuery{Since: c.listed.Add(-2 * time.Minute)}
	if c.listed.IsZero() {
		q.Since = y.start
	}
	c.listed = y.now
	for more := true; more; {
		var page []sim.Server
		page, more, _ = c.cloud.Servers(y.now, q) // the marker is the cloud's own
		for i := range page {
			y.see(c, &page[i])
			q.Marker = page[i].ID
		}
		more = more && y.pay(c)
	}
}

func (y *day) see(c *dayCloud, v *sim.Server) {
	n := c.server[v.ID]
	if n == nil {
		return
	}
	switch {
	case v.Status == "DELETED":
		y.gone(c, n)
	case n.State != pool.NodeBuilding:
	case v.Status == "ERROR":
		y.fail(c, c.find(n.ID), pool.KindUnclassified)
	case v.Booted:
		r := y.move(c, c.find(n.ID), pool.NodeReady, "")
		r.InterfaceIP = v.Addresses[0].IP
	}
}
