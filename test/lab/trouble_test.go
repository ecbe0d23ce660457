//go:build lab

package lab

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A zone whose hosts are disabled, or that is deleted, serves nobody: who may
// have another zone gets it, who may not waits until the zone is back. The zone
// "spare" of each region, of one host, is for this test alone.
func TestZoneVanishes(t *testing.T) {
	t.Parallel()
	for name, vanish := range map[string]func(t *testing.T, c *api) (back func()){"disabled": disable, "deleted": dissolve} {
		cloud := map[string]string{"disabled": "r2", "deleted": "r1"}[name]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, provider(cloud, nil,
				pool("one", keys{"availability-zones": []string{"spare"}}, label("one", nil)),
				pool("two", keys{"availability-zones": []string{"spare", "nova"}}, label("two", nil)),
			))
			before := s.ask(t, "one")
			used := s.server(t, before.served(t)[0])
			equal(t, "zone", used.Zone, "spare")
			before.release(t)
			s.awaitUp(t, cloud, 0) // a zone with servers cannot be deleted

			back := vanish(t, admin(t, cloud))
			one, two := s.ask(t, "one"), s.ask(t, "two")
			equal(t, "zone", s.server(t, two.served(t)[0]).Zone, "nova")
			one.waits(t, "no-zone")
			back()
			equal(t, "zone", s.server(t, one.served(t)[0]).Zone, "spare")

			one.release(t)
			two.release(t)
			s.expectFailures(t, "capacity", "invalid")
			s.retireAfterFailures(t)
		})
	}
}

// disable takes the host of the zone from nova's scheduler, and returns how to
// give it back.
func disable(t *testing.T, c *api) (enable func()) {
	t.Helper()
	host := spareHost(t, c)
	id := list[struct{ ID string }](t, c, compute, "/os-services?binary=nova-compute&host="+host, "services")[0].ID
	set := func(status string) { c.put(t, compute, "/os-services/"+id, object{"status": status}) }
	set("disabled")
	enable = func() { set("enabled") }
	t.Cleanup(enable)
	return enable
}

// dissolve takes the host out of the zone, which is no more then, and returns
// how to put it back. Nova counts the host to the zone "nova" meanwhile, so that
// other tests would get servers there, which would keep it from going back: it
// is disabled as well.
func dissolve(t *testing.T, c *api) (restore func()) {
	t.Helper()
	host, action := spareHost(t, c), "/os-aggregates/"+strconv.Itoa(spareAggregate(t, c).ID)+"/action"
	set := func(what string) {
		c.must(t, http.MethodPost, compute, action, object{what: object{"host": host}}, nil)
	}
	enable := disable(t, c)
	set("remove_host")
	restore = func() {
		if len(spareAggregate(t, c).Hosts) == 0 {
			set("add_host")
		}
		enable()
	}
	t.Cleanup(restore)
	return restore
}

// aggregate is what nova makes a zone of.
type aggregate struct {
	ID    int
	Name  string
	Hosts []string
}

func spareAggregate(t *testing.T, c *api) aggregate {
	t.Helper()
	all := list[aggregate](t, c, compute, "/os-aggregates", "aggregates")
	at := slices.IndexFunc(all, func(a aggregate) bool { return a.Name == "spare" })
	if at < 0 {
		t.Fatalf("the lab has no zone for this test: %+v", all)
	}
	return all[at]
}

func spareHost(t *testing.T, c *api) string {
	t.Helper()
	hosts := spareAggregate(t, c).Hosts
	if len(hosts) != 1 {
		t.Fatalf("the hosts of the zone are %v", hosts)
	}
	return hosts[0]
}

// expectFailures checks that nodes failed for reasons of these kinds only.
func (s *site) expectFailures(t *testing.T, allowed ...string) {
	t.Helper()
	for _, f := range s.failures(t) {
		if !slices.Contains(allowed, f.Failure) {
			t.Errorf("a node failed as %s, not as %v: %+v", f.Failure, allowed, f)
		}
	}
}

// An image that somebody deletes in the cloud is uploaded again, and who waits
// for it is served.
func TestImageDeletedUnderUs(t *testing.T) {
	t.Parallel()
	s := newSite(t, newTenant(t, "r2"))
	image := newImage(s)
	s.run(t, image.built(t), provider("r2", image.uploaded(), pool("main", nil, image.label("small", nil))))
	image.await(t, "r2")
	first := s.ask(t, "small")
	first.served(t)
	lost := image.in(t, "r2").ID
	s.tenant.regions["r2"].remove(t, images, "/v2/images/"+lost)

	second := s.ask(t, "small")
	v := s.server(t, second.served(t)[0])
	if v.imageID() == lost || v.imageID() != image.in(t, "r2").ID {
		t.Errorf("the server's image is %s, %s was deleted", v.imageID(), lost)
	}
	first.release(t)
	second.release(t)
	s.expectFailures(t, "invalid")
	s.retireAfterFailures(t)
}

// A flavor that is renamed, which in nova is a new one, can serve nobody, and
// who asks for it is told; one that is made anew under its name has another id,
// and serves. Other labels do not notice.
func TestFlavorRenamed(t *testing.T) {
	t.Parallel()
	n := newTenant(t, "r2")
	c := n.regions["r2"]
	flavor := func(name string) (remove func()) {
		id := c.create(t, compute, "/flavors", "flavor", object{"name": name, "ram": 512, "vcpus": 1, "disk": 1})
		return func() { c.remove(t, compute, "/flavors/"+id) }
	}
	remove := flavor(n.name)
	s := newSite(t, n)
	s.run(t, nil, provider("r2", nil, pool("main", nil, label("mine", keys{"flavor-name": n.name}), label("usual", nil))))
	first := s.ask(t, "mine")
	first.served(t)

	remove()
	t.Cleanup(flavor(n.name + "-renamed"))
	second := s.ask(t, "mine")
	if why := second.fails(t); !strings.Contains(why, "no flavor "+n.name) {
		t.Errorf("the request fails, because %q", why)
	}
	usual := s.ask(t, "usual")
	usual.served(t)
	t.Cleanup(flavor(n.name))
	third := s.ask(t, "mine")
	s.await(t, "a request for the flavor does not fail", long, func() (string, bool) {
		a, err := third.Answer(t.Context())
		if err == nil && a.State == "failed" {
			third.release(t)
			third = s.ask(t, "mine")
		}
		return show(a), err == nil && a.State == "fulfilled"
	})
	equal(t, "flavor", s.server(t, third.served(t)[0]).Flavor.Name, n.name)

	for _, r := range []*request{first, second, third, usual} {
		r.release(t)
	}
	s.expectFailures(t, "invalid")
	s.retireAfterFailures(t)
}

// Tokens that are revoked while servers are launched cost nothing; refused
// credentials cost a wait.
func TestTokenRevoked(t *testing.T) {
	t.Parallel()
	s := start(t, provider("r2", nil, pool("main", nil, label("small", nil))))
	var asked []*request
	for range 3 {
		asked = append(asked, s.ask(t, "small"))
		s.tenant.revoke(t)
	}
	for _, r := range asked {
		r.served(t)
		s.tenant.revoke(t)
		r.release(t)
	}
	s.await(t, "the nodes are gone", long, func() (string, bool) {
		servers := s.ours(t, "r2")
		return describe(servers), len(servers) == 0
	})
	renewed := s.metric(t, "poold_cloud_calls_total", `operation="POST /auth/tokens"`)
	if renewed < 2 {
		t.Errorf("poold asked for a token %v times: none was revoked", renewed)
	}
	boss := admin(t, "r2")
	enabled := func(on bool) {
		boss.must(t, http.MethodPatch, identity, "/users/"+s.tenant.user, object{"user": object{"enabled": on}}, nil)
		forgetTokens(t)
	}
	enabled(false)
	refused := s.ask(t, "small")
	refused.waits(t, "trouble")
	enabled(true)
	refused.served(t)
	refused.release(t)
	s.expectFailures(t, "unauthorized")
	s.retireAfterFailures(t)
}

// revoke makes all tokens of the tenant's user void: keystone does so when a
// password is set, also to what it was.
func (n *tenant) revoke(t *testing.T) {
	t.Helper()
	boss := admin(t, "r1")
	boss.must(t, http.MethodPatch, identity, "/users/"+n.user, object{"user": object{"password": password}}, nil)
	forgetTokens(t)
}

// forgetTokens empties the lab's memcached, where the services keep the tokens
// that they have checked for some minutes.
func forgetTokens(t *testing.T) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", "127.0.0.1:11212")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // the answer was read
	answer := make([]byte, 4)
	_, err = fmt.Fprint(conn, "flush_all\r\n")
	if err == nil {
		_, err = conn.Read(answer)
	}
	if err != nil || string(answer) != "OK\r\n" {
		t.Fatalf("memcached says %q, %v", answer, err)
	}
}

// Nova's API is killed while it creates servers, and comes back. No other test
// runs at that time.
func TestNovaKilled(t *testing.T) {
	s := start(t, provider("r1", nil, pool("main", nil, label("small", nil))))
	asked := []*request{s.ask(t, "small")}
	asked[0].served(t)
	for range 5 {
		asked = append(asked, s.ask(t, "small"))
	}
	s.await(t, "a second server is there", soon, func() (string, bool) {
		servers := s.ours(t, "r1")
		return describe(servers), len(servers) > 1
	})
	killDaemon(t, "nova-api-r1")
	t.Cleanup(func() { openstack(t, "up") })
	asked = append(asked, s.ask(t, "small"))
	s.await(t, "poold noticed", soon, func() (string, bool) {
		failed := s.metric(t, "poold_launcher_polls_total", `outcome="transient"`)
		return strconv.FormatFloat(failed, 'f', 0, 64), failed > 1
	})
	openstack(t, "up")
	for _, r := range asked {
		r.served(t)
		r.release(t)
	}
	// On a machine with much to do nova's own attempts to build what was asked
	// of it meanwhile fail, and it calls that a lack of hosts.
	s.expectFailures(t, "transient", "ambiguous", "never-seen", "unclassified", "capacity")
	s.retireAfterFailures(t)
}

// killDaemon kills a daemon of the lab with all its processes.
func killDaemon(t *testing.T, name string) {
	t.Helper()
	file := filepath.Join(labDir(), "run", name+".pid")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	group, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err == nil && group > 1 {
		err = syscall.Kill(-group, syscall.SIGKILL)
	}
	if err != nil {
		t.Fatalf("kill %s: %v", name, err)
	}
}

// openstack runs the script that the lab is run with.
func openstack(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command("./openstack", args...)
	cmd.Env = append(os.Environ(), "LAB_DIR="+labDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("openstack %v: %v\n%s", args, err, out)
	}
}

// A cloud that answers 429 to many calls gets what it can take, and no request
// fails. Which calls it refuses is its business; a node whose create is among them
// fails for that, and another one is launched.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	openstack(t, "ratelimit", "2", "2")
	t.Cleanup(func() { openstack(t, "ratelimit", "50", "50") })
	s := start(t, provider("limited", nil, pool("main", nil, label("small", nil), label("more", nil))))
	var asked []*request
	for i := range 6 {
		asked = append(asked, s.ask(t, []string{"small", "more"}[i%2]))
	}
	for _, r := range asked {
		r.served(t)
	}
	for _, r := range asked {
		r.release(t)
	}
	s.await(t, "the nodes are gone", long, func() (string, bool) {
		servers := s.ours(t, "limited")
		return describe(servers), len(servers) == 0
	})
	if n := s.metric(t, "poold_cloud_calls_total", `outcome="rate-limited"`); n == 0 {
		t.Error("the cloud never answered 429")
	}
	s.expectFailures(t, "rate-limited")
	s.retireAfterFailures(t)
}
