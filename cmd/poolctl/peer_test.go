package main

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"poold/pool"
	"poold/store"
)

// state is what an operator makes and removes.
type state struct {
	by, reason string
	at         time.Time
}

// A drain and the pause of a provider are states that hold whether or not
// anybody runs; they are not made of what nobody knows.
func TestStates(t *testing.T) {
	for _, c := range []struct {
		on, off, one, two string
		list              []string // shows it
		state             func(s *pool.Snapshot) *state
	}{
		{"peer drain", "peer undrain", "one", "two", nil, func(s *pool.Snapshot) *state {
			if d := s.Drain("one"); d != nil {
				return &state{d.By, d.Reason, d.At}
			}
			return nil
		}},
		{"provider pause", "provider unpause", "east", "west", []string{"provider", "list"}, func(s *pool.Snapshot) *state {
			if p := s.ProviderPause("east"); p != nil {
				return &state{p.By, p.Reason, p.At}
			}
			return nil
		}},
	} {
		name, db, records := prefix(t)
		session, err := store.OpenSession(t.Context(), db, time.Hour, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		if err := records.PutMember(t.Context(), session, &pool.Member{Name: "one", Providers: []string{"east"}}); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			line, reason string
			code         int
		}{
			{c.on + " " + c.one + " --reason upgrade", "upgrade", 0},
			{c.on + " " + c.one + " --reason again", "upgrade", 0},
			{c.on + " " + c.two, "upgrade", exitNotFound},
			{c.off + " " + c.one, "", 0},
			{c.off + " " + c.one, "", 0},
		} {
			_, err := poolctl(t, append(strings.Fields(step.line), "--prefix", name)...)
			if code := codeOf(err); code != step.code {
				t.Errorf("%s: exit code %d, %v", step.line, code, err)
			}
			s, err := records.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			is := c.state(s)
			if (is != nil) != (step.reason != "") || is != nil && (is.reason != step.reason || is.by != who() || !is.at.Equal(noon)) {
				t.Errorf("after %s the state is %+v, want %q", step.line, is, step.reason)
			}
			if c.list == nil {
				continue
			}
			out, err := poolctl(t, append(c.list, "--prefix", name)...)
			if err != nil || strings.Contains(out, "paused by") != (step.reason != "") {
				t.Errorf("after %s the list says %v\n%s", step.line, err, out)
			}
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
