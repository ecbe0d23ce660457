package openstack

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poold/cloud"
	"poold/pool"
)

// A floating IP that lost its port is put on the new one, not left to leak.
func TestExposeAgainTakesAFloatingIPThatIsAttachedToNothing(t *testing.T) {
	mark := cloud.Mark{Installation: "ours", Node: "n1", Provider: "a b=c", Revision: 9}
	newStub(t, "    floating_ip_source: neutron\n", func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + strings.TrimPrefix(r.URL.Path, "/network/v2.0") {
		case "GET /networks":
			say(w, `{"networks": [{"id": "ext-id", "name": "ext", "router:external": true}, {"id": "net-id", "name": "net"}]}`)
		case "GET /ports":
			say(w, `{"ports": [{"id": "p4", "device_id": %q, "network_id": "net-id", "mac_address": "m",
				"fixed_ips": [{"ip_address": "fd00::1"}, {"ip_address": "10.0.0.5"}]}]}`, anID)
		case "GET /floatingips":
			old := mark
			old.Revision = 3
			say(w, `{"floatingips": [{"id": "x", "description": "poold installation=theirs node=n1", "port_id": null},
				{"id": "f1", "description": %q, "port_id": null, "port_details": null}]}`, old.Line())
		case "PUT /floatingips/f1":
			say(w, `{"floatingip": {"id": "f1", "floating_ip_address": "203.0.113.7", "port_id": "p4"}}`)
		default:
			t.Errorf("unexpected %s %s", r.Method, r.URL.Path)
		}
	})
	got, err := open(t, "ours", cloud.Open{}).Expose(t.Context(), cloud.ExposeSpec{InstanceID: anID, Mark: mark, Again: true})
	want := pool.Address{IP: "203.0.113.7", Version: 4, Floating: true, Network: "net", MAC: "m"}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

// A floating IP that is not where it was to be is not told to anybody.
func TestExposeVerifies(t *testing.T) {
	newStub(t, "", func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + strings.TrimPrefix(r.URL.Path, "/network/v2.0") {
		case "GET /networks":
			say(w, `{"networks": [{"id": "ext-id", "name": "ext", "router:external": true}]}`)
		case "GET /ports":
			say(w, `{"ports": [{"id": "p4", "device_id": %q, "fixed_ips": [{"ip_address": "10.0.0.5"}]}]}`, anID)
		case "POST /floatingips":
			w.WriteHeader(http.StatusCreated)
			say(w, `{"floatingip": {"id": "f1", "floating_ip_address": "203.0.113.7", "port_id": null}}`)
		}
	})
	d := open(t, "ours", cloud.Open{})
	_, err := d.Expose(t.Context(), cloud.ExposeSpec{InstanceID: anID, Mark: cloud.Mark{Installation: "ours", Node: "n1"}})
	wantKind(t, "expose", err, cloud.Conflict)
}

// The ports of many servers are found with few lists, though each server asks
// for itself.
func TestPortsAreListedTogether(t *testing.T) {
	const servers = 250
	entered, goOn := make(chan struct{}), make(chan struct{})
	var mu sync.Mutex
	var sizes []int
	newStub(t, "", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		first := len(sizes) == 0
		asked := r.URL.Query()["device_id"]
		sizes = append(sizes, len(asked))
		mu.Unlock()
		if first {
			close(entered)
			<-goOn
		}
		var ports []string
		for _, id := range asked {
			ports = append(ports, fmt.Sprintf(`{"id": "p-%s", "device_id": %[1]q}`, id))
		}
		say(w, `{"ports": [%s]}`, strings.Join(ports, ","))
	})
	d := open(t, "ours", cloud.Open{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if ports, err := d.portsOf(t.Context(), "first"); err != nil || len(ports) != 1 {
			t.Errorf("got %+v, %v", ports, err)
		}
	})
	<-entered
	for k := range servers {
		id := fmt.Sprintf("s%03d", k)
		b := d.ports.join(id)
		wg.Go(func() {
			if err := d.asked(t.Context(), b); err != nil || b.err != nil || len(b.ports[id]) != 1 || b.ports[id][0].ID != "p-"+id {
				t.Errorf("%s: got %+v, %v, %v", id, b.ports[id], b.err, err)
			}
		})
	}
	close(goOn)
	wg.Wait()
	slices.Sort(sizes)
	if diff := cmp.Diff([]int{1, 50, 100, 100}, sizes); diff != "" {
		t.Errorf("servers in a list (-want +got):\n%s", diff)
	}
}

func TestDescription(t *testing.T) {
	want := cloud.Mark{Installation: "i 1", Node: "n=2", Provider: "p%", Revision: 12}
	if got := cloud.MarkIn(want.Line()); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, line := range []string{"", "pooldinstallation=x", "something else", "poold installation=%zz"} {
		if got := cloud.MarkIn(line); got != (cloud.Mark{}) {
			t.Errorf("%q: got %+v", line, got)
		}
	}
}

// Whoever gives up while asking for others too takes nobody along.
func TestPortsForThoseWhoStay(t *testing.T) {
	entered, calls := make(chan struct{}), 0
	newStub(t, "", func(w http.ResponseWriter, r *http.Request) {
		if calls++; calls == 1 {
			close(entered)
			<-r.Context().Done()
			return
		}
		say(w, `{"ports": [{"id": "p", "device_id": "patient"}]}`)
	})
	d := open(t, "ours", cloud.Open{})
	d.ports.turn <- struct{}{}
	var wg sync.WaitGroup
	wg.Go(func() {
		if ports, err := d.portsOf(t.Context(), "patient"); err != nil || len(ports) != 1 {
			t.Errorf("got %+v, %v", ports, err)
		}
	})
	var b *portBatch
	for b == nil {
		d.ports.mu.Lock()
		b = d.ports.next
		d.ports.mu.Unlock()
		runtime.Gosched()
	}
	ctx, giveUp := context.WithCancel(t.Context())
	wg.Go(func() { d.lead(ctx, b) })
	<-entered
	giveUp()
	<-b.done
	if !b.abandoned || b.err == nil {
		t.Errorf("the batch is %+v", b)
	}
	<-d.ports.turn
	wg.Wait()
}

// What a list has just shown to be ours is deleted without another look, once.
func TestFloatingIPIsLookedAtOnce(t *testing.T) {
	line := cloud.Mark{Installation: "ours", Node: "n1"}.Line()
	s := newStub(t, "", func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + strings.TrimPrefix(r.URL.Path, "/network/v2.0") {
		case "GET /floatingips":
			say(w, `{"floatingips": [{"id": "f1", "description": %q}, {"id": "f2", "description": "theirs"}]}`, line)
		case "GET /floatingips/f1", "GET /floatingips/f2":
			say(w, `{"floatingip": {"id": "x", "description": "theirs"}}`)
		}
	})
	d := open(t, "ours", cloud.Open{})
	if found, err := d.Resources(t.Context(), cloud.FloatingIP); err != nil || len(found) != 1 {
		t.Fatalf("got %+v, %v", found, err)
	}
	if err := d.Remove(t.Context(), cloud.FloatingIP, "f1"); err != nil {
		t.Fatal(err)
	}
	wantKind(t, "again, though it is theirs now", d.Remove(t.Context(), cloud.FloatingIP, "f1"), cloud.Conflict)
	wantKind(t, "what was never ours", d.Remove(t.Context(), cloud.FloatingIP, "f2"), cloud.Conflict)
	_, calls := s.seen()
	const at = "/network/v2.0/floatingips"
	if diff := cmp.Diff([]string{"GET " + at, "DELETE " + at + "/f1", "GET " + at + "/f1", "GET " + at + "/f2"}, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}
