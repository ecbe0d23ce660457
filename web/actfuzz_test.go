package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"poold/pool"
	"poold/web/login"
)

// Whatever body comes to an action, from whom, is answered without a panic or a
// failure of ours; what is done makes sense, has a reason, and is by who may.
func FuzzActions(f *testing.F) {
	const good = `{"verb":"node-hold","target":"a","reason":"x","ttl":"1h"}`
	for _, body := range []string{good, good + good, `[]`, `{"verb":1}`, `{"verb":"image-pause","target":"a/b","reason":"\u0000"}`, ``, `"`, `{"ttl":"-1h"}`} {
		f.Add(jsonKind, "Bearer "+annToken, body)
	}
	f.Add(jsonKind, "Bearer "+bobToken, good)
	f.Add(jsonKind, "Basic x", good)
	f.Add(formKind, "", actionForm("FORM"))
	f.Add(formKind, "", "form=FORM&verb=node-hold&target=%00&reason=%ff")
	f.Add(formKind+"; charset=x", "", "form=FORM&form=x;&verb=image-build&target=a&reason=b&back=//x")
	holders, err := login.Parse([]byte("ann " + annToken + "\nbob " + bobToken + " read-only"))
	if err != nil {
		f.Fatal(err)
	}
	var done []pool.Command
	conf := crowded(f, 4).Config
	conf.Access = login.New()
	conf.Access.Holders = func() []login.Holder { return holders }
	conf.Operate = func(_ context.Context, c pool.Command) error {
		done = append(done, c)
		return nil
	}
	s := New(conf)
	signed := httptest.NewRecorder()
	v, err := conf.Access.SignIn(signed, httptest.NewRequestWithContext(f.Context(), http.MethodPost, "/", nil), annToken)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, kind, authorization, body string) {
		done = nil
		path := "/api/v1/actions"
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
		if authorization == "" { // who has a session
			r = httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/act", strings.NewReader(strings.ReplaceAll(body, "FORM", url.QueryEscape(v.Form))))
			r.AddCookie(signed.Result().Cookies()[0])
		} else if authorization != "Bearer "+annToken && authorization != "Bearer "+bobToken {
			authorization = "Basic x" // a token that is wrong takes a second
		}
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		r.Header.Set("Content-Type", kind)
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		if rec.Code >= http.StatusInternalServerError || rec.Code == http.StatusOK != (len(done) == 1 && authorization != "") {
			t.Errorf("status %d, done %+v", rec.Code, done)
		}
		for _, c := range done {
			if c.By != "ann" || !printable(c.Reason) || !printable(c.Target+string(c.Node)) || (c.Node == "") == aboutNode(c.Verb) {
				t.Errorf("done: %+v", c)
			}
		}
		if at := rec.Header().Get("Location"); at != "" && !strings.HasPrefix(at, "/") || strings.HasPrefix(at, "//") {
			t.Errorf("it leads to %s", at)
		}
	})
}

// Whatever is asked of the lists is answered, and what is chosen is what there is.
func FuzzQueries(f *testing.F) {
	for _, query := range []string{"", "limit=1&from=2", "state=ready", "limit=-1", "from=1", "limit=1&limit=2", "%", "state=%00", "kind=node&human=true", "limit=99999999999999999999"} {
		f.Add("nodes", query)
		f.Add("events", query)
	}
	s := crowded(f, 16)
	f.Fuzz(func(t *testing.T, kind, query string) {
		if strings.Contains(kind, "watch") {
			return // it would not end
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://poold/api/v1/"+url.PathEscape(kind), http.NoBody)
		if err != nil {
			return
		}
		r.URL.RawQuery = query
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		if rec.Code >= http.StatusInternalServerError {
			t.Errorf("%s?%s: status %d: %s", kind, query, rec.Code, rec.Body)
		}
	})
}
