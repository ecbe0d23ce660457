package main

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"poold/pool"
	"poold/store"
)

// A drain is a state that holds whether or not the peer runs; one that nobody
// knows cannot be drained.
func TestPeerDrain(t *testing.T) {
	name, db, records := prefix(t)
	session, err := store.OpenSession(t.Context(), db, time.Hour, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := records.PutMember(t.Context(), session, &pool.Member{Name: "one"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		line, drained string
		code          int
	}{
		{"peer drain one --reason upgrade", "upgrade", 0},
		{"peer drain one --reason again", "upgrade", 0},
		{"peer drain two", "upgrade", exitNotFound},
		{"peer undrain one", "", 0},
		{"peer undrain one", "", 0},
	} {
		_, err := poolctl(t, append(strings.Fields(c.line), "--prefix", name)...)
		if code := codeOf(err); code != c.code {
			t.Errorf("%s: exit code %d, %v", c.line, code, err)
		}
		s, err := records.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		d := s.Drain("one")
		if (d != nil) != (c.drained != "") || d != nil && (d.Reason != c.drained || d.By != who() || !d.At.Equal(noon)) {
			t.Errorf("after %s the drain is %+v, want %q", c.line, d, c.drained)
		}
	}
}

// The pause of a provider is a state, too, and the list shows it.
func TestProviderPause(t *testing.T) {
	name, db, records := prefix(t)
	session, err := store.OpenSession(t.Context(), db, time.Hour, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := records.PutMember(t.Context(), session, &pool.Member{Name: "one", Providers: []string{"east"}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		line, reason string
		code         int
	}{
		{"provider pause east --reason upgrade", "upgrade", 0},
		{"provider pause east --reason again", "upgrade", 0},
		{"provider pause west", "upgrade", exitNotFound},
		{"provider unpause east", "", 0},
		{"provider unpause east", "", 0},
	} {
		_, err := poolctl(t, append(strings.Fields(c.line), "--prefix", name)...)
		if code := codeOf(err); code != c.code {
			t.Errorf("%s: exit code %d, %v", c.line, code, err)
		}
		s, err := records.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p := s.ProviderPause("east")
		if (p != nil) != (c.reason != "") || p != nil && (p.Reason != c.reason || p.By != who() || !p.At.Equal(noon)) {
			t.Errorf("after %s the pause is %+v, want %q", c.line, p, c.reason)
		}
		out, err := poolctl(t, "provider", "list", "--prefix", name)
		if err != nil || strings.Contains(out, "paused by") != (c.reason != "") {
			t.Errorf("after %s the list says %v\n%s", c.line, err, out)
		}
	}
}

// What a peer had is forgotten when it does not run, and only then.
func TestPeerForget(t *testing.T) {
	name, db, records := prefix(t)
	session, err := store.OpenSession(t.Context(), db, time.Hour, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := records.PutMember(t.Context(), session, &pool.Member{Name: "one"}); err != nil {
		t.Fatal(err)
	}
	for _, peer := range []string{"one", "two"} {
		if err := records.PutOffer(t.Context(), &pool.Offer{Peer: peer}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		peer string
		code int
		left int
	}{{"one", exitRefused, 2}, {"two", 0, 1}, {"two", exitNotFound, 1}} {
		_, err := poolctl(t, "peer", "forget", c.peer, "--prefix", name)
		if code := codeOf(err); code != c.code {
			t.Errorf("peer forget %s: exit code %d, %v", c.peer, code, err)
		}
		s, err := records.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Offers) != c.left {
			t.Errorf("after peer forget %s there are %d offers, want %d", c.peer, len(s.Offers), c.left)
		}
	}
}

func codeOf(err error) int {
	if err == nil {
		return 0
	}
	return exitCode(err)
}
