package pool

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// launching is a provider that a launcher's file has, with a cap.
func launching(name, cloud string, instances int64) Provider {
	l := NoLimits()
	l.Instances = instances
	return Provider{
		Name: name, Driver: DriverOpenStack, Cloud: cloud, Images: []ProviderImage{{Name: "noble"}},
		Pools: []Pool{{Name: "main", Limits: l, Labels: []LabelSpec{{Name: "small", DiskImage: "noble"}}}},
	}
}

// sending is the same as a builder's file has it.
func sending(name, cloud string) Provider {
	return Provider{Name: name, Driver: DriverOpenStack, Cloud: cloud, Images: []ProviderImage{{Name: "noble"}}}
}

func offerOf(peer string, c Catalog) *Offer { return &Offer{Peer: peer, Catalog: c.Offered()} }

// united is the union of offers; state says who is not there.
func united(state map[string]Presence, owners map[string]string, offers ...*Offer) *Catalog {
	return Union(offers, func(peer string) Presence { return state[peer] }, owners)
}

func TestUnionOfFiles(t *testing.T) {
	a := offerOf("a", Catalog{Providers: []Provider{sending("east", "e"), launching("north", "n", 1)}, Labels: []Label{{Name: "small"}}})
	b := offerOf("b", Catalog{Providers: []Provider{launching("east", "e", 7)}, Labels: []Label{{Name: "small", MinReady: 2}, {Name: "large"}}})
	u := united(nil, nil, a, b)
	if got := u.Provider("east"); len(got.Pools) != 1 || got.Pools[0].Limits.Instances != 7 || got.Away != "" {
		t.Errorf("east is %+v, want it as the launcher's file has it", got)
	}
	if u.Provider("north") == nil || u.Label("large") == nil || u.Label("small").MinReady != 2 || len(u.Labels) != 2 {
		t.Errorf("the union is %+v", u)
	}
}

// A provider of a peer that is not there is what it was, and nothing can be
// launched in it; what another has as well, that one launches.
func TestUnionWithoutAPeer(t *testing.T) {
	a := offerOf("a", Catalog{Providers: []Provider{launching("east", "e", 1)}, Labels: []Label{{Name: "small", MinReady: 3}}})
	b := offerOf("b", Catalog{Providers: []Provider{launching("east", "e", 2), launching("north", "n", 2), sending("south", "s")}, Labels: []Label{{Name: "small"}}})
	c := offerOf("c", Catalog{Providers: []Provider{launching("south", "s", 3)}})
	for state, gone := range map[Presence]bool{Away: false, Gone: true} {
		u := united(map[string]Presence{"a": state, "c": state}, map[string]string{"east": "a"}, a, b, c)
		if p := u.Provider("east"); p.Away != "" || p.Pools[0].Limits.Instances != 2 {
			t.Errorf("east, which b has, is %+v", p)
		}
		if p := u.Provider("south"); len(p.Pools) != 1 || !strings.Contains(p.Away, "c, which had") || p.Gone != gone {
			t.Errorf("south, which b only sends images to, is %+v", p)
		}
		if n := u.Label("small").MinReady; n != 3 {
			t.Errorf("min-ready is %d: who managed it is not there, and nobody else does", n)
		}
	}
}

// Of contradictions one side counts, whichever peer works that out.
func TestUnionOfContradictions(t *testing.T) {
	file := func(instances int64, ready int, cloud string) Catalog {
		return Catalog{
			Providers: []Provider{launching("east", cloud, instances)}, Labels: []Label{{Name: "small", MinReady: ready}},
			Tenants:    []TenantLimit{{Tenant: "t", Limits: Limits{Instances: instances, Cores: Unlimited, RAMMiB: 10 - instances}}},
			MaxHoldAge: time.Duration(instances) * time.Hour,
		}
	}
	a, b := offerOf("a", file(5, 1, "e")), offerOf("b", file(3, 2, "e"))
	for _, offers := range [][]*Offer{{a, b}, {b, a}} {
		u := united(nil, map[string]string{"east": "b"}, offers...)
		if got := u.Provider("east").Pools[0].Limits.Instances; got != 3 {
			t.Errorf("the cap is %d, want that of the owner", got)
		}
		if got := united(nil, nil, offers...).Provider("east").Pools[0].Limits.Instances; got != 5 {
			t.Errorf("the cap is %d without an owner, want that of the first by name", got)
		}
		if u.Labels[0].MinReady != 2 || u.MaxHoldAge != 5*time.Hour {
			t.Errorf("got %+v, want what is gentlest", u)
		}
		if l := u.Tenants[0].Limits; l.Instances != 3 || l.Cores != Unlimited || l.RAMMiB != 5 {
			t.Errorf("the tenant's limits are %+v, want the lowest", l)
		}
	}
	elsewhere := offerOf("c", file(3, 2, "another"))
	if p := united(nil, nil, a, elsewhere).Provider("east"); !strings.Contains(p.Away, "different clouds") {
		t.Errorf("one name for two clouds: %+v, want nothing to be launched", p)
	}
	if p := united(map[string]Presence{"c": Away}, nil, a, elsewhere).Provider("east"); p.Away != "" {
		t.Errorf("a peer that is not there contradicts: %+v", p)
	}
}

// An offer is what it was when it is read, says nothing that may be secret, and
// stays far below what etcd takes.
func TestOffer(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	secret := "hush"
	spec := LabelSpec{
		MinReady: 1, DiskImage: "noble", FlavorName: "8cpu", MinRAMMiB: 8192, KeyName: secret, PublicKey: secret, UserData: strings.Repeat(secret, 4096),
		Properties: map[string]string{"a": secret}, DynamicProperties: map[string]string{"a": secret}, SchedulerHints: map[string]string{"a": secret},
		ReadyCommand: secret, ReadyKeyFile: secret, Networks: []string{"n"},
	}
	c := Catalog{Images: []Image{{Name: "i", Env: map[string]string{"A": secret}, URL: secret}}}
	for i := range 10 {
		name := fmt.Sprint(i)
		p := launching(name, "e", 1)
		p.PostUploadHook, p.Images[0].Properties = secret, map[string]string{"a": secret}
		for range 100 {
			spec.Name = strings.Repeat("l", 30)
			p.Pools[0].Labels = append(p.Pools[0].Labels, spec)
		}
		c.Providers = append(c.Providers, p)
	}
	c.Labels = []Label{{Name: "small", Schedule: []Period{{Days: []time.Weekday{1}, From: time.Hour, To: 2 * time.Hour, Location: berlin, MinReady: 9}}}}
	o := offerOf("a", c)
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), secret) {
		t.Error("an offer tells secrets")
	}
	if len(text) > 256<<10 {
		t.Errorf("ten providers of a hundred labels are %d bytes, want less than a sixth of what etcd takes", len(text))
	}
	var back Offer
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if back.Catalog.Labels[0].Schedule[0].Location.String() != "Europe/Berlin" || !reflect.DeepEqual(o.Catalog.Providers, back.Catalog.Providers) {
		t.Errorf("read back, it is %+v", back.Catalog.Labels)
	}
	if same, err := o.Same(&back); err != nil || !same {
		t.Errorf("same: %v, %v", same, err)
	}
	back.Catalog.Providers[0].Pools[0].Limits.Instances++
	if same, err := o.Same(&back); err != nil || same {
		t.Errorf("same as one with another cap: %v, %v", same, err)
	}
}

// What a file only names contradicts nothing; real differences have sides.
func TestSides(t *testing.T) {
	member := func(name string, c Catalog) *Member {
		prints, err := c.Prints()
		if err != nil {
			t.Fatal(err)
		}
		return &Member{Name: name, Prints: prints}
	}
	recipe := Image{Name: "noble", Elements: []string{"vm"}}
	named := Image{Name: "noble", Command: []string{DefaultBuilder}}
	s := &Snapshot{Members: []*Member{
		member("builder", Catalog{Providers: []Provider{sending("east", "e")}, Images: []Image{recipe}}),
		member("nl01", Catalog{Providers: []Provider{launching("east", "e", 1)}, Images: []Image{named}, Labels: []Label{{Name: "small", MinReady: 1}}}),
		member("nl02", Catalog{Providers: []Provider{launching("north", "n", 1)}, Images: []Image{named}, Labels: []Label{{Name: "small"}}}),
	}}
	if got := s.Disputes(); len(got) > 0 {
		t.Errorf("disputes over %v, want none", got)
	}
	s.Members = append(s.Members, member("nl03", Catalog{Providers: []Provider{launching("east", "e", 2), launching("north", "n", 1)}}))
	if got := s.Disputes(); !slices.Equal(got, []string{"provider/east"}) {
		t.Errorf("disputes over %v, want the east", got)
	}
	if got := s.Sides("provider/east"); !reflect.DeepEqual(got, [][]string{{"nl01"}, {"nl03"}}) {
		t.Errorf("the sides are %v", got)
	}
}
