package openstack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poold/cloud"
	"poold/pool"
)

// addressCase is a server in a cloud, and what is thought of it. Its JSON is
// what testdata/addresses.py reads.
type addressCase struct {
	Name string `json:"name"`
	// Addresses are "network address type mac", in nova's order; the type is
	// "-" where an old nova does not tell it, and the mac that of its port.
	Spec  []string  `json:"-"`
	Roles []roleDoc `json:"roles"`
	// Networks are "name" or "name external" or "name physical".
	Nets         []string `json:"-"`
	Gated        []string `json:"gated"`
	Access4      string   `json:"access4"`
	Access6      string   `json:"access6"`
	Private      bool     `json:"private"`
	ForceIPv4    bool     `json:"force_ipv4"`
	Six          bool     `json:"six"`
	NoFloatingIP bool     `json:"no_floating_ip"`
	NoNetwork    bool     `json:"no_network"`
	// Led is the network that the router leads to, which may be down.
	Led  string `json:"-"`
	Down bool   `json:"-"`

	Addresses json.RawMessage  `json:"addresses"`
	Networks  []network        `json:"networks"`
	Ports     []map[string]any `json:"ports"`
	Routers   []map[string]any `json:"routers"`

	want thought
	// differs says why the SDK thinks otherwise, "" if it does not.
	differs string
}

type roleDoc struct {
	Name           string `json:"name"`
	External       bool   `json:"external,omitempty"`
	NATDestination bool   `json:"nat_destination,omitempty"`
	NATSource      bool   `json:"nat_source,omitempty"`
	Standard       bool   `json:"standard,omitempty"`
}

// thought is what is thought of a server.
type thought struct {
	Public4  string `json:"public4,omitempty"`
	Public6  string `json:"public6,omitempty"`
	Private4 string `json:"private4,omitempty"`
	Connect  string `json:"connect,omitempty"`
	Needs    bool   `json:"needs,omitempty"`
	Port     string `json:"port,omitempty"`
	Source   string `json:"source,omitempty"`
	Error    string `json:"error,omitempty"`
}

func fixed(network, ip string) string { return network + " " + ip + " fixed m-" + network }

func addressCases() []addressCase {
	two := []string{"ext external", "net"}
	net5, ext5 := fixed("net", "10.0.0.5"), fixed("ext", "10.1.0.5")
	float := "net 203.0.113.9 floating m-net"
	six := fixed("net", "2001:db8::5")
	needy := func(private string) thought {
		return thought{Private4: private, Needs: true, Port: "port-net", Source: "ext-id"}
	}
	plain := func(public, private string) thought {
		return thought{Public4: public, Private4: private, Connect: public}
	}
	return []addressCase{
		{Name: "a private address alone", Spec: []string{net5}, Nets: two, want: needy("10.0.0.5")},
		{Name: "a floating IP", Spec: []string{net5, float}, Nets: two, want: plain("203.0.113.9", "10.0.0.5")},
		{Name: "no address yet", Nets: two},
		{Name: "nothing but a floating IP", Spec: []string{float}, Nets: two, want: plain("203.0.113.9", "203.0.113.9")},
		{Name: "access address", Spec: []string{net5}, Nets: two, Access4: "192.0.2.7", want: plain("192.0.2.7", "10.0.0.5")},
		{Name: "in an external network", Spec: []string{ext5}, Nets: two, want: plain("10.1.0.5", "")},
		{Name: "in a provider's network", Spec: []string{ext5}, Nets: []string{"ext physical"}, want: plain("10.1.0.5", "")},
		{Name: "external before floating", Spec: []string{net5, float, ext5}, Nets: two, want: plain("10.1.0.5", "10.0.0.5")},
		{
			Name: "the first external network of the cloud", Spec: []string{fixed("b", "10.2.0.1"), fixed("a", "10.1.0.1")},
			Nets: []string{"a external", "b external"}, want: plain("10.1.0.1", ""),
		},
		{Name: "a network called public", Spec: []string{fixed("public", "10.3.0.5")}, Nets: two, want: plain("10.3.0.5", "")},
		{
			Name: "called public, but internal as well", Spec: []string{fixed("public", "10.3.0.5")}, Nets: []string{"public"},
			want: plain("10.3.0.5", "10.3.0.5"),
		},
		{Name: "a global address", Spec: []string{net5, fixed("net", "8.8.8.8")}, Nets: two, want: plain("8.8.8.8", "10.0.0.5")},
		{Name: "a carrier's address", Spec: []string{fixed("net", "100.64.1.1")}, Nets: two, want: plain("100.64.1.1", "100.64.1.1")},
		{Name: "an address for documentation", Spec: []string{fixed("net", "198.51.100.3")}, Nets: two, want: needy("198.51.100.3")},
		{Name: "an address for tests", Spec: []string{fixed("net", "198.18.0.3")}, Nets: two, want: needy("198.18.0.3")},
		{
			Name: "clouds.yaml calls it external", Spec: []string{net5}, Nets: two,
			Roles: []roleDoc{{Name: "net", External: true}}, want: plain("10.0.0.5", ""),
		},
		{
			Name: "clouds.yaml names it without a word", Spec: []string{ext5}, Nets: two, Roles: []roleDoc{{Name: "ext"}},
			want: thought{Private4: "10.1.0.5", Needs: true, Port: "port-ext", Source: "ext-id"},
		},
		{
			Name: "clouds.yaml names what is not there", Spec: []string{net5}, Nets: two,
			Roles: []roleDoc{{Name: "gone", External: true}}, want: thought{Error: "network"},
		},
		{
			Name: "the default interface", Spec: []string{net5, float, ext5}, Nets: two,
			Roles: []roleDoc{{Name: "net", Standard: true}},
			want:  thought{Public4: "10.1.0.5", Private4: "10.0.0.5", Connect: "203.0.113.9"},
		},
		{
			Name: "the default interface has IPv6", Spec: []string{net5, six}, Nets: two, Six: true,
			Roles: []roleDoc{{Name: "net", Standard: true}},
			want: thought{
				Public6: "2001:db8::5", Private4: "10.0.0.5", Connect: "2001:db8::5", Needs: true, Port: "port-net", Source: "ext-id",
			},
		},
		{
			Name: "the default interface has IPv6, but force_ipv4", Spec: []string{fixed("net", "8.8.8.8"), six}, Nets: two, Six: true,
			Roles: []roleDoc{{Name: "net", Standard: true}}, ForceIPv4: true, want: plain("8.8.8.8", "8.8.8.8"),
		},
		{
			Name: "two default interfaces of one name", Spec: []string{net5}, Nets: []string{"net", "net"},
			Roles: []roleDoc{{Name: "net", Standard: true}}, want: thought{Error: " networks"},
		},
		{
			Name: "the server is not on the default interface", Spec: []string{fixed("net", "8.8.8.8")}, Nets: two,
			Roles: []roleDoc{{Name: "ext", External: true, Standard: true}}, want: plain("8.8.8.8", "8.8.8.8"),
		},
		{
			Name: "private", Spec: []string{net5}, Nets: two, Private: true,
			want: thought{Private4: "10.0.0.5", Connect: "10.0.0.5"},
		},
		{
			Name: "private, with a floating IP", Spec: []string{fixed("b", "10.2.0.1"), net5, float}, Nets: []string{"b", "net"}, Private: true,
			want: thought{Public4: "203.0.113.9", Private4: "10.0.0.5", Connect: "10.0.0.5"},
		},
		{
			Name: "private, and no private address", Spec: []string{ext5}, Nets: two, Private: true, want: plain("10.1.0.5", ""),
		},
		{
			Name: "the floating IP's port is the private one", Spec: []string{fixed("a", "10.2.0.1"), net5, float},
			Nets: []string{"a", "net", "ext external"}, want: plain("203.0.113.9", "10.0.0.5"),
		},
		{
			Name: "dual stack from a machine with IPv6", Spec: []string{net5, six, float}, Nets: two, Six: true,
			want: thought{Public4: "203.0.113.9", Public6: "2001:db8::5", Private4: "10.0.0.5", Connect: "2001:db8::5"},
		},
		{
			Name: "dual stack from a machine without IPv6", Spec: []string{net5, six, float}, Nets: two,
			want: thought{Public4: "203.0.113.9", Public6: "2001:db8::5", Private4: "10.0.0.5", Connect: "203.0.113.9"},
		},
		{
			Name: "force_ipv4", Spec: []string{net5, six, float}, Nets: two, Six: true, ForceIPv4: true,
			want: plain("203.0.113.9", "10.0.0.5"),
		},
		{
			Name: "dual stack still needs a floating IP", Spec: []string{net5, six}, Nets: two, Six: true,
			want: thought{
				Public6: "2001:db8::5", Private4: "10.0.0.5", Connect: "2001:db8::5", Needs: true, Port: "port-net", Source: "ext-id",
			},
		},
		{
			Name: "access address of IPv6", Spec: []string{fixed("net", "8.8.8.8")}, Nets: two, Six: true, Access6: "2001:db8::7",
			want: thought{Public4: "8.8.8.8", Public6: "2001:db8::7", Private4: "8.8.8.8", Connect: "2001:db8::7"},
		},
		{
			Name: "IPv6 alone", Spec: []string{six}, Nets: two, Six: true,
			want: thought{Public6: "2001:db8::5", Connect: "2001:db8::5"}, differs: "it fails for want of an IPv4 address",
		},
		{Name: "floating_ip_source none", Spec: []string{net5}, Nets: two, NoFloatingIP: true, want: thought{Private4: "10.0.0.5"}},
		{Name: "nowhere to take floating IPs from", Spec: []string{net5}, Nets: []string{"net"}, want: thought{Private4: "10.0.0.5"}},
		{
			Name: "only a router shows where from", Spec: []string{net5}, Nets: []string{"net"}, Led: "hidden-id",
			want: thought{Private4: "10.0.0.5", Needs: true, Port: "port-net", Source: "hidden-id"},
		},
		{
			Name: "only a router that is down", Spec: []string{net5}, Nets: []string{"net"}, Led: "hidden-id", Down: true,
			want: thought{Private4: "10.0.0.5"},
		},
		{
			Name: "several sources", Spec: []string{net5}, Nets: []string{"ext external", "more external", "net"}, want: needy("10.0.0.5"),
		},
		{
			Name: "several sources, and a router", Spec: []string{net5}, Nets: []string{"more external", "ext external", "net"}, Led: "ext-id",
			want: needy("10.0.0.5"), differs: "it takes the first, which leads nowhere",
		},
		{
			Name: "clouds.yaml says where from", Spec: []string{net5}, Nets: []string{"more external", "ext external", "net"},
			Roles: []roleDoc{{Name: "ext", External: true, NATSource: true}}, want: needy("10.0.0.5"),
		},
		{
			Name: "several ports, and where to is said", Spec: []string{fixed("other", "10.4.0.5"), net5},
			Nets: []string{"ext external", "net", "other"}, Roles: []roleDoc{{Name: "net", NATDestination: true}},
			want: needy("10.0.0.5"),
		},
		{
			Name: "several ports, and one network with a gateway", Spec: []string{fixed("other", "10.4.0.5"), net5},
			Nets: []string{"ext external", "net", "other"}, Gated: []string{"net-id"}, want: needy("10.0.0.5"),
		},
		{
			Name: "several ports, and a gateway elsewhere", Spec: []string{fixed("other", "10.4.0.5"), net5},
			Nets: []string{"ext external", "net", "other", "more"}, Gated: []string{"net-id", "more-id"}, want: needy("10.0.0.5"),
			differs: "it takes the last network with a gateway, though the server is not there",
		},
		{
			Name: "several ports, and no gateway", Spec: []string{fixed("other", "10.4.0.5"), net5},
			Nets: []string{"ext external", "net", "other"}, want: thought{Private4: "10.0.0.5", Error: "nat_destination"},
		},
		{
			Name: "several ports in one network", Spec: []string{net5, "net 10.0.0.6 fixed m2-net"}, Nets: two, Gated: []string{"net-id"},
			want: thought{Private4: "10.0.0.5", Needs: true, Port: "port2-net", Source: "ext-id"},
		},
		{
			Name: "no neutron", Spec: []string{fixed("private", "10.0.0.5"), fixed("public", "8.8.8.8")}, NoNetwork: true,
			want: plain("8.8.8.8", "10.0.0.5"),
		},
		{
			Name: "no neutron, and no tags", Spec: []string{"private 10.0.0.5 - m", "public 10.9.0.1 - m"}, NoNetwork: true,
			want: plain("10.9.0.1", "10.0.0.5"),
		},
		{
			Name: "no neutron, and nothing public", Spec: []string{fixed("private", "10.0.0.5")}, NoNetwork: true,
			want: thought{Private4: "10.0.0.5"}, differs: "it would ask nova for a floating IP, which could not be marked",
		},
	}
}

// fill makes from the short forms what nova and neutron would say.
func (c *addressCase) fill() {
	var order []string
	by := map[string][]string{}
	seen := map[string]bool{}
	for _, spec := range c.Spec {
		f := strings.Fields(spec)
		version, kind := 4, ""
		if strings.Contains(f[1], ":") {
			version = 6
		}
		if f[2] != "-" {
			kind = fmt.Sprintf(`, "OS-EXT-IPS:type": %q`, f[2])
		}
		if by[f[0]] == nil {
			order = append(order, f[0])
		}
		by[f[0]] = append(by[f[0]], fmt.Sprintf(`{"addr": %q, "version": %d, "OS-EXT-IPS-MAC:mac_addr": %q%s}`, f[1], version, f[3], kind))
		if f[2] == "floating" {
			continue
		}
		id := strings.Replace(f[3], "m", "port", 1)
		if !seen[id] {
			seen[id] = true
			c.Ports = append(c.Ports, map[string]any{
				"id": id, "network_id": f[0] + "-id", "created_at": "2026-11-21T02:00:0" + strconv.Itoa(len(c.Ports)) + "Z",
				"mac_address": f[3], "device_id": anID, "fixed_ips": []map[string]string{},
			})
		}
		p := c.Ports[len(c.Ports)-1]
		ips, _ := p["fixed_ips"].([]map[string]string)
		p["fixed_ips"] = append(ips, map[string]string{"ip_address": f[1]})
	}
	var all []string
	for _, name := range order {
		all = append(all, fmt.Sprintf("%q: [%s]", name, strings.Join(by[name], ", ")))
	}
	c.Addresses = json.RawMessage("{" + strings.Join(all, ", ") + "}")
	for k, n := range c.Nets {
		name, kind, _ := strings.Cut(n, " ")
		net := network{ID: name + "-id", Name: name, External: kind == "external"}
		if kind == "physical" {
			net.Physical = "datacentre"
		}
		if k > 0 && c.Networks[k-1].Name == name {
			net.ID += "-2"
		}
		c.Networks = append(c.Networks, net)
	}
	if c.Led != "" {
		c.Routers = []map[string]any{{"admin_state_up": !c.Down, "external_gateway_info": map[string]any{"network_id": c.Led}}}
	}
}

// yaml is what clouds.yaml says.
func (c *addressCase) yaml() string {
	text := "    networks:\n"
	for _, r := range c.Roles {
		text += fmt.Sprintf("      - {name: %s, routes_externally: %v, nat_destination: %v, nat_source: %v, default_interface: %v}\n",
			r.Name, r.External, r.NATDestination, r.NATSource, r.Standard)
	}
	if len(c.Roles) == 0 {
		text = ""
	}
	if c.NoFloatingIP {
		text += "    floating_ip_source: None\n"
	}
	return text + fmt.Sprintf("    private: %v\n    force_ipv4: %v\n", c.Private, c.ForceIPv4)
}

// think opens a driver in a cloud like that, and says what it thinks.
func (c *addressCase) think(t *testing.T) thought {
	t.Helper()
	s := newStub(t, c.yaml(), func(w http.ResponseWriter, _ *http.Request) {
		subnets := []map[string]string{}
		for _, id := range c.Gated {
			subnets = append(subnets, map[string]string{"network_id": id, "gateway_ip": "10.0.0.1"})
		}
		b, err := json.Marshal(map[string]any{"networks": c.Networks, "routers": c.Routers, "ports": c.Ports, "subnets": subnets})
		if err != nil {
			t.Error(err)
		}
		say(w, "%s", b)
	})
	d := open(t, "ours", cloud.Open{})
	d.six = func() bool { return c.Six }
	if c.NoNetwork {
		if _, err := d.access().keystone.session(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		delete(d.access().keystone.current.endpoints, cloud.Network)
	}
	var nova server
	if err := json.Unmarshal([]byte(fmt.Sprintf(`{"id": %q, "addresses": %s, "accessIPv4": %q, "accessIPv6": %q}`,
		anID, c.Addresses, c.Access4, c.Access6)), &nova); err != nil {
		t.Fatal(err)
	}
	i := nova.instance()
	got := c.ask(t, d, i)
	_, before := s.seen()
	if again := c.ask(t, d, i); again != got {
		t.Errorf("asked again it thinks %+v", again)
	}
	_, after := s.seen()
	for _, call := range after[len(before):] {
		if !strings.HasSuffix(call, "/ports") && got.Error == "" {
			t.Errorf("asked again: %s", call)
		}
	}
	return got
}

func (c *addressCase) ask(t *testing.T, d *Driver, i cloud.Instance) thought {
	t.Helper()
	connect, err := d.InterfaceIP(t.Context(), i)
	if err != nil {
		return thought{Error: err.Error()}
	}
	topology, err := d.topology(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a := d.access().settings.addressing()
	got := thought{
		Public4: topology.publicIPv4(&i), Public6: topology.publicIPv6(&a, &i), Private4: topology.privateIPv4(&i), Connect: connect,
	}
	if got.Needs, err = d.NeedsFloatingIP(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	if !got.Needs {
		return got
	}
	p, err := d.natPort(t.Context(), topology, i.ID)
	if err != nil {
		got.Needs, got.Error = false, err.Error()
		return got
	}
	got.Port = p.ID
	if got.Source, err = d.source(t.Context(), topology); err != nil {
		t.Fatal(err)
	}
	return got
}

// same tells whether two thoughts are one; of an error only a word counts.
func (want thought) same(got thought) bool {
	if want.Error != "" {
		return strings.Contains(got.Error, want.Error)
	}
	return want == got
}

// Each rule of openstacksdk about addresses has a row.
func TestAddressRules(t *testing.T) {
	for _, c := range addressCases() {
		t.Run(c.Name, func(t *testing.T) {
			c.fill()
			if got := c.think(t); !c.want.same(got) {
				t.Errorf("(-want +got):\n%s", cmp.Diff(c.want, got))
			}
		})
	}
}

// debianPython is the Python that Debian's python3-openstacksdk is for.
const debianPython = "/usr/bin/python3"

// openstacksdk, where it is installed, thinks the same, or the row says why
// not.
func TestAddressRulesAreTheSDKs(t *testing.T) {
	if err := exec.CommandContext(t.Context(), debianPython, "-c", "import openstack").Run(); err != nil {
		t.Skip("python3-openstacksdk is not installed")
	}
	cases := addressCases()
	for i := range cases {
		cases[i].fill()
	}
	in, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), debianPython, "testdata/addresses.py")
	var complaint bytes.Buffer
	command.Stdin, command.Stderr = bytes.NewReader(in), &complaint
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, complaint.String())
	}
	var all []thought
	if err := json.Unmarshal(out, &all); err != nil || len(all) != len(cases) {
		t.Fatalf("got %d answers, %v", len(all), err)
	}
	for i, got := range all {
		if c := cases[i]; c.want.same(got) == (c.differs != "") {
			t.Errorf("%s: differs %q (-want +SDK):\n%s", c.Name, c.differs, cmp.Diff(c.want, got))
		}
	}
}

// The order of networks is nova's.
func TestAddressesKeepTheirOrder(t *testing.T) {
	var s server
	if err := json.Unmarshal([]byte(`{"addresses": {
		"b": [{"addr": "10.0.0.5", "version": 4, "OS-EXT-IPS:type": "fixed", "OS-EXT-IPS-MAC:mac_addr": "m"},
			{"addr": "203.0.113.9", "version": 4, "OS-EXT-IPS:type": "floating"}],
		"a": [{"addr": "2001:db8::1", "version": 6}]}}`), &s); err != nil {
		t.Fatal(err)
	}
	want := []pool.Address{
		{IP: "10.0.0.5", Version: 4, Network: "b", MAC: "m"},
		{IP: "203.0.113.9", Version: 4, Network: "b", Floating: true},
		{IP: "2001:db8::1", Version: 6, Network: "a"},
	}
	if diff := cmp.Diff(want, s.instance().Addresses); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	for _, body := range []string{`{"addresses": null}`, `{"addresses": {}}`, `{}`} {
		if err := json.Unmarshal([]byte(body), &s); err != nil || len(s.Addresses) != 0 && body != `{}` {
			t.Errorf("%s: %v, %v", body, s.Addresses, err)
		}
	}
	for _, body := range []string{`{"addresses": []}`, `{"addresses": {"a": 1}}`, `{"addresses": 3}`} {
		if err := json.Unmarshal([]byte(body), &s); err == nil {
			t.Errorf("%s is taken", body)
		}
	}
}
