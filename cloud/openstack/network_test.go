package openstack

import (
	"net/http"
	"strings"
	"testing"

	"poold/cloud"
	"poold/pool"
)

func TestNeedsFloatingIP(t *testing.T) {
	private := pool.Address{IP: "10.0.0.5", Version: 4, Network: "net"}
	const routed = `{"routers": [{"external_gateway_info": null}, {"external_gateway_info": {"network_id": "ext-id"}}]}`
	const unrouted = `{"routers": []}`
	for _, c := range []struct {
		name      string
		more      string
		routers   string
		addresses []pool.Address
		want      bool
	}{
		{"a private address behind a router", "", routed, []pool.Address{private}, true},
		{"no router leads out", "", unrouted, []pool.Address{private}, false},
		{"no router is shown, but clouds.yaml insists", "    floating_ip_source: neutron\n", unrouted, []pool.Address{private}, true},
		{"clouds.yaml says none", "    floating_ip_source: None\n", routed, []pool.Address{private}, false},
		{"it has one", "", routed, []pool.Address{private, {IP: "203.0.113.1", Version: 4, Floating: true}}, false},
		{"a public address", "", routed, []pool.Address{{IP: "198.51.100.3", Version: 4, Network: "net"}}, false},
		{"a shared address of an operator", "", routed, []pool.Address{{IP: "100.64.1.1", Version: 4, Network: "net"}}, true},
		{"a private address in an external network", "", routed, []pool.Address{{IP: "10.1.0.5", Version: 4, Network: "ext"}}, false},
		{"only IPv6", "", routed, []pool.Address{{IP: "fd00::1", Version: 6, Network: "net"}}, false},
		{"no address yet", "", routed, nil, false},
		{
			"clouds.yaml calls the network external", "    networks: [{name: net, routes_externally: true}]\n", routed,
			[]pool.Address{private},
			false,
		},
		{
			"clouds.yaml calls a public address's network internal", "    networks: [{name: net, routes_externally: false}]\n", routed,
			[]pool.Address{{IP: "198.51.100.3", Version: 4, Network: "net"}},
			true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStub(t, c.more, func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/routers") {
					say(w, "%s", c.routers)
					return
				}
				say(w, `{"networks": [{"id": "ext-id", "name": "ext"}]}`)
			})
			d := open(t, "ours", cloud.Open{})
			for range 3 {
				if got, err := d.NeedsFloatingIP(t.Context(), cloud.Instance{Addresses: c.addresses}); err != nil || got != c.want {
					t.Errorf("got %v, %v, want %v", got, err, c.want)
				}
			}
			if _, calls := s.seen(); len(calls) > 2 {
				t.Errorf("it was asked again: %v", calls)
			}
		})
	}
}

// A floating IP that lost its port is put on the new one, not left to leak.
func TestExposeAgainTakesAFloatingIPThatIsAttachedToNothing(t *testing.T) {
	mark := cloud.Mark{Installation: "ours", Node: "n1", Provider: "a b=c", Revision: 9}
	newStub(t, "    floating_ip_source: neutron\n", func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + strings.TrimPrefix(r.URL.Path, "/network/v2.0") {
		case "GET /networks":
			say(w, `{"networks": [{"id": "ext-id", "name": "ext"}]}`)
		case "GET /routers":
			say(w, `{"routers": []}`)
		case "GET /ports":
			say(w, `{"ports": [{"id": "p6", "fixed_ips": [{"ip_address": "fd00::1"}]}, {"id": "p4", "fixed_ips": [{"ip_address": "10.0.0.5"}]}]}`)
		case "GET /floatingips":
			old := mark
			old.Revision = 3
			say(w, `{"floatingips": [{"id": "x", "description": "poold installation=theirs node=n1", "port_id": null},
				{"id": "f1", "description": %q, "port_id": null, "port_details": null}]}`, old.Line())
		case "PUT /floatingips/f1":
			say(w, `{"floatingip": {"id": "f1", "floating_ip_address": "203.0.113.7"}}`)
		default:
			t.Errorf("unexpected %s %s", r.Method, r.URL.Path)
		}
	})
	got, err := open(t, "ours", cloud.Open{}).Expose(t.Context(), cloud.ExposeSpec{InstanceID: anID, Mark: mark, Again: true})
	if err != nil || got.IP != "203.0.113.7" {
		t.Errorf("got %+v, %v", got, err)
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
