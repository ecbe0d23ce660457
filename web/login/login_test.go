package login

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The tokens of the tests, and a file that has them.
const (
	annToken = "ann-0123456789-0123456789"
	bobToken = "bob-0123456789-0123456789"
	file     = "# who may act\nann " + annToken + "\n\n\tbob  " + bobToken + " read-only\r\n"
)

func guard(t *testing.T) *Guard {
	t.Helper()
	holders, err := Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	g := New()
	g.Holders = func() []Holder { return holders }
	return g
}

// request is one from an address, with a token if there is one.
func request(t *testing.T, from, token string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.RemoteAddr = from
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

const here, there = "192.0.2.1:4000", "192.0.2.2:4000"

func TestParse(t *testing.T) {
	good, err := Parse([]byte(file))
	if err != nil || len(good) != 2 || good[0].Name != "ann" || good[0].ReadOnly || good[1].Name != "bob" || !good[1].ReadOnly {
		t.Errorf("got %v, %v", good, err)
	}
	if none, err := Parse([]byte("\n# nobody yet\n")); err != nil || len(none) != 0 {
		t.Errorf("got %v, %v", none, err)
	}
	for text, want := range map[string]string{
		"ann":                                                  "line 1: expected NAME TOKEN",
		"ann " + annToken + " admin":                           "line 1: expected NAME TOKEN",
		"\nann " + annToken + " read-only x":                   "line 2: expected NAME TOKEN",
		"ann short":                                            "a token has from 20",
		"ann " + strings.Repeat("x", 513):                      "to 512 characters",
		"a\x1bnn " + annToken:                                  "this is no name",
		"\xff\xfe " + annToken:                                 "this is no name",
		strings.Repeat("n", 65) + " " + annToken:               "this is no name",
		"ann " + annToken + "\nann " + bobToken:                "line 2: the name is there twice",
		"ann " + annToken + "\nbob " + annToken + " read-only": "line 2: two have the same token",
	} {
		_, err := Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "0123") || strings.Contains(err.Error(), "short")) {
			t.Errorf("%q: the error tells the token: %v", text, err)
		}
	}
	var many strings.Builder
	for i := range mostHolders + 1 {
		fmt.Fprintf(&many, "n%d token-number-%08d\n", i, i)
	}
	if _, err := Parse([]byte(many.String())); err == nil {
		t.Error("any number of tokens is taken")
	}
}

// What is kept of a token does not tell it.
func TestTokensAreNotKept(t *testing.T) {
	g := guard(t)
	for _, h := range g.holders() {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			if text := fmt.Sprintf(verb, h); strings.Contains(text, "0123456789") {
				t.Errorf("%s shows %s", verb, text)
			}
		}
	}
}

// Each token is compared with all, whatever is found before: to find one takes as
// many comparisons of digests as to find none.
func TestFind(t *testing.T) {
	all := guard(t).holders()
	for token, want := range map[string]string{
		annToken: "ann", bobToken: "bob", "": "", annToken + "x": "", annToken[1:]: "", strings.ToUpper(annToken): "",
	} {
		if h, ok := find(all, token); ok != (want != "") || h.Name != want {
			t.Errorf("%q is %q, %v, want %q", token, h.Name, ok, want)
		}
	}
	// Of two that are equal the later one is found: the search goes on to the end.
	twice := append(all, holder("eve", annToken))
	if h, _ := find(twice, annToken); h.Name != "eve" {
		t.Errorf("it ended at %s", h.Name)
	}
}

func TestBearer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := guard(t)
		for token, want := range map[string]Visitor{
			annToken: {Name: "ann"}, bobToken: {Name: "bob", ReadOnly: true}, "": {},
		} {
			if v, err := g.Visitor(request(t, here, token)); err != nil || v != want {
				t.Errorf("%q: %+v, %v", token, v, err)
			}
		}
		for _, shown := range [][]string{
			{"Bearer " + annToken[1:]},
			{"Bearer"},
			{"Bearer "},
			{"Basic " + annToken},
			{annToken},
			{""},
			{"Bearer " + annToken, "Bearer " + annToken},
		} {
			r := request(t, here, "")
			r.Header["Authorization"] = shown
			r.AddCookie(session(t, g)) // is not asked for help
			if v, err := g.Visitor(r); !errors.Is(err, ErrWrong) || v.Name != "" {
				t.Errorf("%q: %+v, %v", shown, v, err)
			}
		}
	})
}

// session is the cookie of a session of ann.
func session(t *testing.T, g *Guard) *http.Cookie {
	t.Helper()
	rec := httptest.NewRecorder()
	if v, err := g.SignIn(rec, request(t, here, ""), annToken); err != nil || v.Name != "ann" {
		t.Fatalf("not signed in: %+v, %v", v, err)
	}
	return rec.Result().Cookies()[0]
}

func with(t *testing.T, cookies ...*http.Cookie) *http.Request {
	t.Helper()
	r := request(t, here, "")
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return r
}

// A session is its holder's as long as it says, the token is in the file and
// nobody ended it; nothing of it can be changed.
func TestSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := guard(t)
		c := session(t, g)
		who := func(g *Guard, cookies ...*http.Cookie) Visitor {
			t.Helper()
			v, err := g.Visitor(with(t, cookies...))
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		v := who(g, c)
		if v.Name != "ann" || !v.MayAct() || !v.Session || !v.Brings(v.Form) || v.Brings("") || v.Brings(v.Form+"x") {
			t.Errorf("got %+v", v)
		}
		if other := who(g, session(t, g)); other.Form == v.Form || other.Name != "ann" {
			t.Error("two sessions have forms alike")
		}
		if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Secure || strings.Contains(c.Value, annToken) {
			t.Errorf("the cookie is %v", c)
		}
		if another := guard(t); who(another, c).Name != "ann" {
			t.Error("another peer with the file, or this one after a restart, does not know it")
		}
		if two := who(g, c, c); two.Name != "" {
			t.Error("of two cookies one is taken")
		}
		for i := range c.Value {
			changed := *c
			flip := byte('A')
			if c.Value[i] == flip {
				flip = 'B'
			}
			changed.Value = c.Value[:i] + string(flip) + c.Value[i+1:]
			if v := who(g, &changed); v.Name != "" {
				t.Errorf("changed at %d it is of %q", i, v.Name)
			}
		}
		without, _ := Parse([]byte("ann " + annToken + "-new\n"))
		g.Holders = func() []Holder { return without }
		if v := who(g, c); v.Name != "" {
			t.Error("it outlives its token")
		}
	})
}

func TestSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := guard(t)
		first, second := session(t, g), session(t, g)
		rec := httptest.NewRecorder()
		g.SignOut(rec, with(t, first))
		if c := rec.Result().Cookies()[0]; c.MaxAge >= 0 || c.Value != "" {
			t.Errorf("the browser keeps it: %v", c)
		}
		if v, _ := g.Visitor(with(t, first)); v.Name != "" {
			t.Error("it goes on though it was ended")
		}
		time.Sleep(sessionTime - time.Second)
		if v, _ := g.Visitor(with(t, second)); v.Name != "ann" {
			t.Error("it ends too early")
		}
		time.Sleep(2 * time.Second)
		if v, _ := g.Visitor(with(t, second)); v.Name != "" {
			t.Error("it never ends")
		}
		g.SignOut(httptest.NewRecorder(), with(t, session(t, g)))
		if n := len(g.ended); n != 1 {
			t.Errorf("%d ended sessions are remembered, one of them could still be shown", n)
		}
		for range mostEnded {
			g.ended[strings.Repeat("x", len(g.ended))] = g.Now().Add(time.Hour)
		}
		g.SignOut(httptest.NewRecorder(), with(t, session(t, g)))
		if n := len(g.ended); n > mostEnded {
			t.Errorf("%d are remembered", n)
		}
	})
}

// The cookie stays on encrypted connections if it came over one, even if
// something before us ended the encryption.
func TestSecureCookie(t *testing.T) {
	g := guard(t)
	behind, direct := request(t, here, ""), request(t, here, "")
	behind.Header.Set("Origin", "https://poold.example.org")
	direct.TLS = &tls.ConnectionState{}
	for _, r := range []*http.Request{behind, direct} {
		rec := httptest.NewRecorder()
		if _, err := g.SignIn(rec, r, annToken); err != nil {
			t.Fatal(err)
		}
		if !rec.Result().Cookies()[0].Secure {
			t.Error("it is sent in clear, too")
		}
	}
}

// A certificate counts only if it was verified, and if it is asked for.
func TestCertificates(t *testing.T) {
	g := guard(t)
	named := func(name string, verified bool) *http.Request {
		c := &x509.Certificate{Subject: pkix.Name{CommonName: name}, Raw: []byte(name)}
		r := request(t, here, "")
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}}
		if verified {
			r.TLS.VerifiedChains = [][]*x509.Certificate{{c}}
		}
		return r
	}
	who := func(r *http.Request) Visitor {
		t.Helper()
		v, err := g.Visitor(r)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := who(named("eve", true)); v.Name != "" {
		t.Errorf("nobody asked for certificates: %+v", v)
	}
	g.Certificates = true
	v, other := who(named("eve", true)), who(named("eva", true))
	if !v.MayAct() || v.Name != "eve" || v.Form == "" || v.Form == other.Form || v.Session {
		t.Errorf("got %+v", v)
	}
	for name, verified := range map[string]bool{"eve": false, "": true, "eve as root": true, "e\nve": true, strings.Repeat("e", 65): true} {
		if v := who(named(name, verified)); v.Name != "" {
			t.Errorf("%q, verified %v: %+v", name, verified, v)
		}
	}
	if v, _ := g.Visitor(func() *http.Request {
		r := named("eve", true)
		r.Header.Set("Authorization", "Bearer "+bobToken)
		return r
	}()); v.Name != "bob" {
		t.Errorf("who shows both is %q", v.Name)
	}
}

// Who guesses is slowed down, and disturbs nobody elsewhere; who has a token does
// not wait.
func TestGuessing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := guard(t)
		began := time.Now()
		for range 1000 {
			if _, err := g.Visitor(request(t, here, annToken)); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("who has a token waits %v", took)
		}
		guess := func(ctx context.Context, from string, results chan<- error) {
			r := request(t, from, "no-such-token-is-there") //nolint:contextcheck // it gets the other one
			_, err := g.Visitor(r.WithContext(ctx))
			results <- err
		}
		results := make(chan error, 1000)
		for range 100 {
			go guess(t.Context(), here, results)
		}
		synctest.Wait()
		if n := len(results); n != 100-mostFrom {
			t.Errorf("%d of 100 are refused at once", n)
		}
		if _, err := g.Visitor(request(t, there, annToken)); err != nil {
			t.Errorf("somebody else is told %v", err)
		}
		if _, err := g.Visitor(request(t, here, annToken)); !errors.Is(err, ErrBusy) {
			t.Errorf("a right one among the guesses tells itself: %v", err)
		}
		tried := 0
		for range 100 {
			if errors.Is(<-results, ErrWrong) {
				tried++
			}
		}
		if took := time.Since(began); took != wrongTime || tried != mostFrom {
			t.Errorf("%d were tried in %v", tried, took)
		}

		// Who does not wait for the answer has no more tries.
		ctx, cancel := context.WithCancel(t.Context())
		for range mostFrom {
			go guess(ctx, here, results)
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		if _, err := g.Visitor(request(t, here, annToken)); !errors.Is(err, ErrBusy) {
			t.Errorf("who went away made room: %v", err)
		}
		time.Sleep(wrongTime)
		synctest.Wait()
		if _, err := g.Visitor(request(t, here, annToken)); err != nil {
			t.Errorf("a second later: %v", err)
		}
		g.attempts.mu.Lock()
		if len(g.attempts.whose) > 0 {
			t.Errorf("it is remembered who tried: %v", g.attempts.whose)
		}
		g.attempts.mu.Unlock()

		// From everywhere at once.
		for i := range 100 {
			go guess(t.Context(), fmt.Sprintf("198.51.100.%d:1", i), results)
		}
		synctest.Wait()
		g.attempts.mu.Lock()
		if g.attempts.all != mostTried || len(g.attempts.whose) > mostTried {
			t.Errorf("%d are tried at once", g.attempts.all)
		}
		g.attempts.mu.Unlock()
		time.Sleep(wrongTime)
	})
}

// One machine has many addresses of IPv6.
func TestNetworks(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1/32", "[::ffff:192.0.2.1]:80": "192.0.2.1/32", "[2001:db8::1]:80": "2001:db8::/64",
		"[2001:db8::2:3:4%eth0]:1": "2001:db8::/64", "pipe": "invalid Prefix", "@": "invalid Prefix",
	} {
		if got := network(remote).String(); got != want {
			t.Errorf("%s is of %s, want %s", remote, got, want)
		}
	}
}

// What a page of somebody else has a browser do is refused.
func TestFromHere(t *testing.T) {
	g := guard(t)
	for name, c := range map[string]struct {
		header map[string]string
		good   bool
	}{
		"a program":           {nil, true},
		"our page":            {map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://example.com"}, true},
		"our page, old":       {map[string]string{"Origin": "http://example.com"}, true},
		"another page":        {map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, false},
		"another host's page": {map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "https://other.example.com"}, false},
		"another page, old":   {map[string]string{"Origin": "https://evil.example"}, false},
		"a file":              {map[string]string{"Origin": "null"}, false},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://example.com/act", nil)
		for key, value := range c.header {
			r.Header.Set(key, value)
		}
		if err := g.FromHere(r); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}
