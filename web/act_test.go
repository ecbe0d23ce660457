package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"poold/pool"
	"poold/web/login"
)

const (
	annToken = "ann-0123456789-0123456789"
	bobToken = "bob-0123456789-0123456789"
)

// guarded is a server that ann may act on, and bob may read.
type guarded struct {
	*Server

	t *testing.T
	// mu guards what follows.
	mu   sync.Mutex
	done []pool.Command
	// refuse is what is said to every command.
	refuse error
}

func guardedSite(t *testing.T) *guarded {
	t.Helper()
	holders, err := login.Parse([]byte("ann " + annToken + "\nbob " + bobToken + " read-only"))
	if err != nil {
		t.Fatal(err)
	}
	guard := login.New()
	guard.Holders = func() []login.Holder { return holders }
	g := &guarded{t: t}
	conf := crowded(t, 8).Config
	conf.Access = guard
	conf.Operate = func(_ context.Context, c pool.Command) error {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.done = append(g.done, c)
		return g.refuse
	}
	g.Server = New(conf)
	return g
}

// take returns the commands that were given since the last call.
func (g *guarded) take() []pool.Command {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := g.done
	g.done = nil
	return all
}

// ask makes a request. Its head is pairs of a key and a value.
func (g *guarded) ask(method, path, body string, head ...string) *httptest.ResponseRecorder {
	g.t.Helper()
	r := httptest.NewRequestWithContext(g.t.Context(), method, path, strings.NewReader(body))
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Add(head[i], head[i+1])
	}
	rec := httptest.NewRecorder()
	g.ServeHTTP(rec, r)
	return rec
}

const (
	formKind = "application/x-www-form-urlencoded"
	jsonKind = "application/json"
)

// signIn returns the cookie of a session.
func (g *guarded) signIn(token string) string {
	g.t.Helper()
	rec := g.ask(http.MethodPost, "/sign-in", url.Values{"token": {token}, "back": {"/nodes"}}.Encode(), "Content-Type", formKind)
	if rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != "/nodes" {
		g.t.Fatalf("not signed in: %d, %s", rec.Code, rec.Body)
	}
	cookie, _, _ := strings.Cut(rec.Header().Get("Set-Cookie"), ";")
	return cookie
}

// word finds what forms of a session have to bring, in a page.
func word(page string) string {
	m := regexp.MustCompile(`name="form" value="([^"]+)"`).FindStringSubmatch(page)
	if m == nil {
		return ""
	}
	return m[1]
}

func actionForm(form string, more ...string) string {
	v := url.Values{"verb": {"node-hold"}, "target": {"n00001"}, "reason": {"look"}, "back": {"/nodes/n00001"}, "form": {form}}
	for i := 0; i+1 < len(more); i += 2 {
		v.Set(more[i], more[i+1])
	}
	return v.Encode()
}

// By default nobody can act or sign in, and no page speaks of it.
func TestActionsAreOff(t *testing.T) {
	s := crowded(t, 8)
	for _, path := range []string{"/act", "/api/v1/actions", "/sign-in", "/sign-out"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			rec := httptest.NewRecorder()
			s.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader("{}")))
			if rec.Code != http.StatusNotFound && rec.Code != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: status %d", method, path, rec.Code)
			}
		}
	}
	for _, path := range []string{"/", "/nodes/n00001", "/images/" + hostilePath, "/providers/provider-00"} {
		if body := get(t, s, path).Body.String(); strings.Contains(body, "Sign in") || strings.Contains(body, "method=\"post\"") {
			t.Errorf("%s has something to be sent", path)
		}
	}
}

// What a program asks for is done in its name, and answered.
func TestActionsOfPrograms(t *testing.T) {
	g := guardedSite(t)
	for body, want := range map[string]pool.Command{
		`{"verb":"node-hold","target":"n00001","reason":" look ","ttl":"2h"}`: {Verb: pool.VerbHold, Node: "n00001", Reason: "look", TTL: "2h"},
		`{"verb":"node-delete","target":"n00001","reason":"x"}`:               {Verb: pool.VerbDelete, Node: "n00001", Reason: "x"},
		`{"verb":"image-build","target":"noble","reason":"x"}`:                {Verb: pool.VerbBuild, Target: "noble", Reason: "x"},
		`{"verb":"image-pause","target":"noble/1","reason":"x"}`:              {Verb: pool.VerbPauseImage, Target: "noble/1", Reason: "x"},
		`{"verb":"provider-unpause","target":"north","reason":"x"}`:           {Verb: pool.VerbUnpauseProvider, Target: "north", Reason: "x"},
	} {
		rec := g.ask(http.MethodPost, "/api/v1/actions", body, "Content-Type", jsonKind, "Authorization", "Bearer "+annToken)
		want.By = "ann"
		if all := g.take(); rec.Code != http.StatusOK || len(all) != 1 || fmt.Sprintf("%+v", all[0]) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s: status %d, %s, done %+v", body, rec.Code, rec.Body, all)
		}
		var answer map[string]string
		if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil || answer["by"] != "ann" || answer["verb"] != string(want.Verb) {
			t.Errorf("answered %s, %v", rec.Body, err)
		}
	}
	for status, refusal := range map[int]error{
		http.StatusNotFound:           fmt.Errorf("no such node: %w", pool.ErrNotFound),
		http.StatusConflict:           fmt.Errorf("%w: it is in use", pool.ErrRefused),
		http.StatusServiceUnavailable: errors.New("nobody carried the command out"),
	} {
		g.refuse = refusal
		rec := g.ask(http.MethodPost, "/api/v1/actions", `{"verb":"node-delete","target":"a","reason":"x"}`,
			"Content-Type", jsonKind, "Authorization", "Bearer "+annToken)
		if rec.Code != status || !strings.Contains(rec.Body.String(), refusal.Error()) {
			t.Errorf("%v: status %d, %s", refusal, rec.Code, rec.Body)
		}
	}
}

// What is not from somebody who may, or makes no sense, changes nothing.
func TestActionsThatAreRefused(t *testing.T) {
	g := guardedSite(t)
	ann, bob := g.signIn(annToken), g.signIn(bobToken)
	form := word(g.ask(http.MethodGet, "/nodes/n00001", "", "Cookie", ann).Body.String())
	if form == "" {
		t.Fatal("the page has no form")
	}
	const api, page, good = "/api/v1/actions", "/act", `{"verb":"node-hold","target":"n00001","reason":"look"}`
	bearer := "Bearer " + annToken
	for name, c := range map[string]struct {
		path, body string
		head       []string
		status     int
	}{
		"nobody":                   {api, good, []string{"Content-Type", jsonKind}, http.StatusUnauthorized},
		"a wrong token":            {api, good, []string{"Content-Type", jsonKind, "Authorization", bearer + "x"}, http.StatusUnauthorized},
		"a token for reading":      {api, good, []string{"Content-Type", jsonKind, "Authorization", "Bearer " + bobToken}, http.StatusForbidden},
		"a session":                {api, good, []string{"Content-Type", jsonKind, "Cookie", ann}, http.StatusUnauthorized},
		"another kind":             {api, good, []string{"Content-Type", "text/plain", "Authorization", bearer}, http.StatusUnsupportedMediaType},
		"no kind":                  {api, good, []string{"Authorization", bearer}, http.StatusUnsupportedMediaType},
		"from another page":        {api, good, []string{"Content-Type", jsonKind, "Authorization", bearer, "Origin", "https://evil.example"}, http.StatusForbidden},
		"too large":                {api, good + strings.Repeat(" ", mostBody), []string{"Content-Type", jsonKind, "Authorization", bearer}, http.StatusRequestEntityTooLarge},
		"no JSON":                  {api, "verb=node-hold", []string{"Content-Type", jsonKind, "Authorization", bearer}, http.StatusBadRequest},
		"nothing":                  {api, "", []string{"Content-Type", jsonKind, "Authorization", bearer}, http.StatusBadRequest},
		"two values":               {api, good + good, []string{"Content-Type", jsonKind, "Authorization", bearer}, http.StatusBadRequest},
		"an unknown key":           {api, `{"verb":"node-hold","target":"a","reason":"x","by":"root"}`, []string{"Content-Type", jsonKind, "Authorization", bearer}, http.StatusBadRequest},
		"an unknown verb":          {api, `{"verb":"leak-remove","target":"a","reason":"x"}`, []string{"Content-Type", jsonKind, "Authorization", bearer}, http.StatusBadRequest},
		"no reason":                {api, `{"verb":"node-hold","target":"a","reason":"  "}`, []string{"Content-Type", jsonKind, "Authorization", bearer}, http.StatusBadRequest},
		"a reason of two lines":    {api, `{"verb":"node-hold","target":"a","reason":"x\ny"}`, []string{"Content-Type", jsonKind, "Authorization", bearer}, http.StatusBadRequest},
		"no target":                {api, `{"verb":"node-hold","reason":"x"}`, []string{"Content-Type", jsonKind, "Authorization", bearer}, http.StatusBadRequest},
		"a ttl of no hold":         {api, `{"verb":"node-delete","target":"a","reason":"x","ttl":"1h"}`, []string{"Content-Type", jsonKind, "Authorization", bearer}, http.StatusBadRequest},
		"a ttl of less":            {api, `{"verb":"node-hold","target":"a","reason":"x","ttl":"-1h"}`, []string{"Content-Type", jsonKind, "Authorization", bearer}, http.StatusBadRequest},
		"a form of nobody":         {page, actionForm(form), []string{"Content-Type", formKind}, http.StatusSeeOther},
		"a form without the word":  {page, actionForm(""), []string{"Content-Type", formKind, "Cookie", ann}, http.StatusForbidden},
		"the word of another":      {page, actionForm(word(g.ask(http.MethodGet, "/", "", "Cookie", bob).Body.String())), []string{"Content-Type", formKind, "Cookie", ann}, http.StatusForbidden},
		"a form for reading":       {page, actionForm(word(g.ask(http.MethodGet, "/", "", "Cookie", bob).Body.String())), []string{"Content-Type", formKind, "Cookie", bob}, http.StatusForbidden},
		"a form from elsewhere":    {page, actionForm(form), []string{"Content-Type", formKind, "Cookie", ann, "Origin", "https://evil.example"}, http.StatusForbidden},
		"a form cross-site":        {page, actionForm(form), []string{"Content-Type", formKind, "Cookie", ann, "Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		"a form in the address":    {page + "?" + actionForm(form), "", []string{"Content-Type", formKind, "Cookie", ann}, http.StatusForbidden},
		"a form of text":           {page, actionForm(form), []string{"Content-Type", "text/plain", "Cookie", ann}, http.StatusUnsupportedMediaType},
		"a broken form":            {page, "form=%zz", []string{"Content-Type", formKind, "Cookie", ann}, http.StatusBadRequest},
		"a form too large":         {page, actionForm(form, "x", strings.Repeat("x", mostBody)), []string{"Content-Type", formKind, "Cookie", ann}, http.StatusRequestEntityTooLarge},
		"a form without a reason":  {page, actionForm(form, "reason", ""), []string{"Content-Type", formKind, "Cookie", ann}, http.StatusBadRequest},
		"a sign-in from elsewhere": {"/sign-in", "token=" + annToken, []string{"Content-Type", formKind, "Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			rec := g.ask(http.MethodPost, c.path, c.body, c.head...)
			if rec.Code != c.status {
				t.Errorf("status %d, want %d: %s", rec.Code, c.status, rec.Body)
			}
			if all := g.take(); len(all) > 0 {
				t.Errorf("it was done: %+v", all)
			}
			if strings.Contains(rec.Body.String(), "0123456789") {
				t.Errorf("the answer has a token: %s", rec.Body)
			}
		})
	}
	for _, path := range []string{api, page, "/sign-out"} {
		if rec := g.ask(http.MethodGet, path+"?"+actionForm(form), "", "Cookie", ann); rec.Code != http.StatusMethodNotAllowed && rec.Code != http.StatusNotFound {
			t.Errorf("GET %s: status %d", path, rec.Code)
		}
	}
}

// Who signs in finds on the pages what he can do, and does it there.
func TestActionsOfPages(t *testing.T) {
	g := guardedSite(t)
	ann, bob := g.signIn(annToken), g.signIn(bobToken)
	for path, want := range map[string][]string{
		"/nodes/n00000":          {"node-hold", "node-delete"},       // ready
		"/nodes/n00001":          {"node-hold", "node-force-delete"}, // in use
		"/nodes/n00002":          nil,                                // deleting
		"/nodes/n00003":          {"node-hold"},                      // failed
		"/images/" + hostilePath: {"image-build", "image-pause", "image-pause"},
		"/providers/provider-00": {"provider-pause"},
		"/":                      nil, "/nodes": nil,
	} {
		body := g.ask(http.MethodGet, path, "", "Cookie", ann).Body.String()
		var got []string
		for _, m := range regexp.MustCompile(`name="verb" value="([^"]+)"`).FindAllStringSubmatch(body, -1) {
			got = append(got, m[1])
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s offers %v, want %v", path, got, want)
		}
		if !strings.Contains(body, ">Sign out<") || !strings.Contains(body, "ann") {
			t.Errorf("%s does not say who looks", path)
		}
		for name, cookie := range map[string]string{"bob": bob, "nobody": ""} {
			if body := g.ask(http.MethodGet, path, "", "Cookie", cookie).Body.String(); strings.Contains(body, `action="/act"`) {
				t.Errorf("%s offers something to %s", path, name)
			}
		}
	}
	page := g.ask(http.MethodGet, "/nodes/n00001", "", "Cookie", ann).Body.String()
	rec := g.ask(http.MethodPost, "/act", actionForm(word(page), "ttl", "4h"), "Content-Type", formKind, "Cookie", ann, "Sec-Fetch-Site", "same-origin")
	if all := g.take(); rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != "/nodes/n00001" || len(all) != 1 ||
		all[0].By != "ann" || all[0].Node != "n00001" || all[0].Reason != "look" || all[0].TTL != "4h" {
		t.Errorf("status %d, %s, done %+v", rec.Code, rec.Body, all)
	}
	g.refuse = fmt.Errorf("%w: <it> is in use", pool.ErrRefused)
	rec = g.ask(http.MethodPost, "/act", actionForm(word(page)), "Content-Type", formKind, "Cookie", ann)
	if rec.Code != http.StatusConflict || !strings.Contains(rec.Body.String(), "refused: &lt;it&gt; is in use") || !strings.Contains(rec.Body.String(), `href="/nodes/n00001"`) {
		t.Errorf("status %d, %s", rec.Code, rec.Body)
	}
	g.ask(http.MethodPost, "/sign-out", "form="+word(page), "Content-Type", formKind, "Cookie", ann)
	if body := g.ask(http.MethodGet, "/nodes/n00001", "", "Cookie", ann).Body.String(); strings.Contains(body, "Sign out") {
		t.Error("the session goes on")
	}
}

// A page of somebody else can neither sign anybody out nor send him elsewhere.
func TestSignInGoesBackToUs(t *testing.T) {
	g := guardedSite(t)
	for back, want := range map[string]string{
		"/nodes?state=ready": "/nodes?state=ready", "": "/", "//evil.example": "/", "https://evil.example/": "/", `/\evil.example`: "/",
		"/\r\nSet-Cookie: x=y": "/", "evil": "/", "/\t/evil.example": "/", "javascript:alert(1)": "/",
	} {
		rec := g.ask(http.MethodPost, "/sign-in", url.Values{"token": {annToken}, "back": {back}}.Encode(), "Content-Type", formKind)
		if at := rec.Header().Get("Location"); at != want {
			t.Errorf("%q leads to %q, want %q", back, at, want)
		}
	}
	ann := g.signIn(annToken)
	g.ask(http.MethodPost, "/sign-out", "", "Content-Type", formKind, "Cookie", ann)
	if body := g.ask(http.MethodGet, "/", "", "Cookie", ann).Body.String(); !strings.Contains(body, "Sign out") {
		t.Error("a form without the word signs out")
	}
}

// Closed pages are read by who says who he is, and by nobody else; what says that
// the process is alive stays open.
func TestClosed(t *testing.T) {
	g := guardedSite(t)
	g.Closed = true
	ann, secret := g.signIn(annToken), "provider-00"
	for _, p := range pageTable() {
		path := strings.NewReplacer("{$}", "", "{id}", "n00001", "{client}", "x", "{name}", "x").Replace(p.pattern)
		rec := g.ask(http.MethodGet, path, "", "Accept", "text/html,*/*")
		if to := rec.Header().Get("Location"); rec.Code != http.StatusSeeOther || to != "/sign-in?back="+url.QueryEscape(path) || strings.Contains(rec.Body.String(), secret) {
			t.Errorf("%s: status %d to %q", path, rec.Code, to)
		}
	}
	for _, path := range []string{
		"/metrics", "/api/v1/nodes", "/api/v1/events", "/api/v1/openapi.json", "/node-list", "/theme?to=dark", "/ready", "/nothing",
		"/api/v1/watch", "/live", // which would not end
	} {
		rec := g.ask(http.MethodGet, path, "")
		if rec.Code != http.StatusUnauthorized || rec.Header().Get("WWW-Authenticate") == "" || strings.Contains(rec.Body.String(), secret) {
			t.Fatalf("%s: status %d", path, rec.Code)
		}
	}
	for path, status := range map[string]int{"/healthz": 200, "/readyz": 200, "/static/style.css": 200, "/sign-in": 200} {
		if rec := g.ask(http.MethodGet, path, ""); rec.Code != status || strings.Contains(rec.Body.String(), secret) {
			t.Errorf("%s: status %d", path, rec.Code)
		}
	}
	for _, head := range [][]string{{"Cookie", ann}, {"Authorization", "Bearer " + bobToken}} {
		for _, path := range []string{"/", "/metrics", "/api/v1/nodes"} {
			if rec := g.ask(http.MethodGet, path, "", head...); rec.Code != http.StatusOK {
				t.Errorf("%s with %s: status %d", path, head[0], rec.Code)
			}
		}
	}
}

// The log has who did what, why and from where, and who was refused; no token.
func TestActionsAreLogged(t *testing.T) {
	g := guardedSite(t)
	core, logs := observer.New(zap.DebugLevel)
	g.Log = zap.New(core)
	ann := g.signIn(annToken)
	g.ask(http.MethodPost, "/act", actionForm(word(g.ask(http.MethodGet, "/nodes/n00001", "", "Cookie", ann).Body.String())), "Content-Type", formKind, "Cookie", ann)
	g.ask(http.MethodPost, "/api/v1/actions", `{"verb":"node-hold","target":"x","reason":"why not"}`, "Content-Type", jsonKind, "Authorization", "Bearer "+bobToken)
	g.ask(http.MethodPost, "/sign-in", "token="+annToken+"x", "Content-Type", formKind)
	var lines []string
	for _, e := range logs.All() {
		lines = append(lines, fmt.Sprint(e.Message, e.ContextMap()))
	}
	all := strings.Join(lines, "\n")
	for _, want := range []string{
		"signed inmap[by:ann from:192.0.2.1:1234]",
		"actionmap[by:ann from:192.0.2.1:1234 reason:look target:n00001 verb:node-hold]",
		"request refusedmap[from:192.0.2.1:1234 method:POST path:/api/v1/actions reason:this token is for reading status:403]",
		"sign-in refusedmap[error:this token is not known here from:192.0.2.1:1234]",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("nothing says %q in\n%s", want, all)
		}
	}
	if strings.Contains(all, "0123456789") || strings.Contains(all, strings.TrimPrefix(ann, "poold-session=")) {
		t.Errorf("the log has a secret:\n%s", all)
	}
}
