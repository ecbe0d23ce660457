package store

import (
	"testing"

	"poold/pool"
)

func TestKeys(t *testing.T) {
	k := newKeys("/poold/v1")
	for _, c := range []struct {
		key  string
		want place
	}{
		{k.request("zuul", "100"), place{familyRequest, "zuul", "100", ""}},
		{"/poold/v1/requests/zuul/a/b", place{familyRequest, "zuul", "a/b", ""}},
		{"/poold/v1/requests//x", place{familyRequest, "", "x", ""}},
		{"/poold/v1/requests/zuul", place{}},
		{k.allocation("zuul", "100"), place{familyAllocation, "zuul", "100", ""}},
		{k.node("p", "n"), place{familyNode, "p", "n", ""}},
		{k.node("p/q", "n%"), place{familyNode, "p/q", "n%", ""}},
		{k.node("", "n"), place{}},
		{"/poold/v1/nodes/p/n/more", place{}},
		{"/poold/v1/nodes/p/%zz", place{}},
		{"/poold/v1/nodes/p/%61", place{}},
		{k.build("i", "b"), place{familyBuild, "i", "b", ""}},
		{k.upload("i", "b", "p"), place{familyUpload, "i", "b", "p"}},
		{k.pause("i/j"), place{familyPause, "i/j", "", ""}},
		{k.providerPause("i/j"), place{familyPause, "i/j", "provider", ""}},
		{k.prefix + "pauses/peer/one", place{family: familyOther}},
		{k.drain("i/j"), place{familyDrain, "i/j", "", ""}},
		{"/poold/v1/images/i/other/b", place{}},
		{k.command("c"), place{familyCommand, "c", "", ""}},
		{k.quota("p"), place{familyQuota, "p", "", ""}},
		{k.health("p"), place{familyHealth, "p", "", ""}},
		{k.member("m"), place{familyMember, "m", "", ""}},
		{k.penalty("g"), place{familyPenalty, "g", "", ""}},
		{k.freeze(), place{family: familyFreeze}},
		{"/poold/v1/freeze/more", place{family: familyOther}},
		{k.owner("provider/p/q"), place{family: familyOther}},
		{k.installation(), place{family: familyOther}},
		{"/poold/v2/nodes/p/n", place{}},
	} {
		if got := k.parse(c.key); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.key, got, c.want)
		}
	}
	for name, want := range map[string]string{
		"allocator": "/poold/v1/owners/allocator", "provider/a/b": "/poold/v1/owners/provider/a%2Fb",
	} {
		if got := k.owner(name); got != want {
			t.Errorf("owner of %s: %s", name, got)
		}
	}
}

// Any name makes a key from which the same name is read again.
func FuzzNames(f *testing.F) {
	f.Add("provider", "node", "x")
	f.Add("a/b", "%2F", "..")
	k := newKeys(DefaultPrefix)
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if a == "" || b == "" || c == "" {
			return
		}
		for key, want := range map[string]place{
			k.node(a, pool.NodeID(b)): {familyNode, a, b, ""},
			k.build(a, b):             {familyBuild, a, b, ""},
			k.pause(a):                {familyPause, a, "", ""},
			k.providerPause(a):        {familyPause, a, "provider", ""},
			k.drain(a):                {familyDrain, a, "", ""},
			k.offer(a):                {familyOffer, a, "", ""},
			k.upload(a, b, c):         {familyUpload, a, b, c},
			k.command(a):              {familyCommand, a, "", ""},
			k.quota(a):                {familyQuota, a, "", ""},
			k.health(a):               {familyHealth, a, "", ""},
			k.member(a):               {familyMember, a, "", ""},
			k.penalty(a):              {familyPenalty, a, "", ""},
		} {
			if got := k.parse(key); got != want {
				t.Errorf("%q: got %+v, want %+v", key, got, want)
			}
		}
	})
}

// Two keys never mean the same record: what is read from a key makes that key.
func FuzzParse(f *testing.F) {
	k := newKeys(DefaultPrefix)
	f.Add("requests/c/i/d")
	f.Add("requests//")
	f.Add("nodes/p/%2f")
	f.Add("images/i/builds/b/uploads/p")
	f.Add("pauses/provider/p")
	f.Fuzz(func(t *testing.T, rest string) {
		key := k.prefix + rest
		p := k.parse(key)
		made := map[family]string{
			familyNone: key, familyOther: key,
			familyRequest: k.request(p.a, p.b), familyAllocation: k.allocation(p.a, p.b),
			familyNode: k.node(p.a, pool.NodeID(p.b)), familyBuild: k.build(p.a, p.b),
			familyUpload: k.upload(p.a, p.b, p.c), familyCommand: k.command(p.a),
			familyQuota: k.quota(p.a), familyMember: k.member(p.a),
			familyHealth:  k.health(p.a),
			familyPenalty: k.penalty(p.a), familyFreeze: k.freeze(), familyPause: k.pause(p.a), familyDrain: k.drain(p.a), familyOffer: k.offer(p.a),
		}[p.family]
		if p.family == familyPause && p.b != "" {
			made = k.providerPause(p.a)
		}
		if made != key {
			t.Errorf("%q is read as %+v, which makes %q", key, p, made)
		}
	})
}
