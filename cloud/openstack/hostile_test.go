package openstack

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"poold/cloud"
)

// openGate lets everything pass.
type openGate struct{}

func (openGate) Enter(context.Context, cloud.Call) (func(cloud.Outcome), error) {
	return func(cloud.Outcome) {}, nil
}

// against opens a driver of a stub, with its calls logged.
func against(t *testing.T, more string, services http.HandlerFunc) (*Driver, *observer.ObservedLogs) {
	t.Helper()
	newStub(t, more, services)
	core, logs := observer.New(zapcore.DebugLevel)
	d, err := Open(Config{
		Cloud: "sim", Installation: "inst1", Version: "1.2.3", Trace: true, Gate: openGate{}, Log: zap.New(core),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d, logs
}

// list lists the servers, as the loop of a launcher does.
func list(t *testing.T, d *Driver) error {
	t.Helper()
	_, err := d.Instances(t.Context(), cloud.ListMark{})
	return err
}

// text is all that was logged.
func text(t *testing.T, logs *observer.ObservedLogs) string {
	t.Helper()
	var b strings.Builder
	for _, e := range logs.All() {
		fields, err := json.Marshal(e.ContextMap())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, e.Message, string(fields))
	}
	return b.String()
}

// A redirect is not followed: the token goes to nobody but the services of the
// catalog.
func TestRedirectGetsNoToken(t *testing.T) {
	var met atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { met.Store(true) }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		d, _ := against(t, "", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/steal", status)
		})
		if err := list(t, d); err == nil {
			t.Errorf("%d is taken for a list", status)
		}
	}
	if met.Load() {
		t.Error("the redirect was followed")
	}
}

// The next page is asked of the same service, wherever the link points.
func TestLinkElsewhereGetsNoToken(t *testing.T) {
	var met atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { met.Store(true) }))
	defer other.Close()
	d, _ := against(t, "", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("marker") != "" {
			say(w, `{"servers": []}`)
			return
		}
		say(w, `{"servers": [], "servers_links": [{"rel": "next", "href": %q}]}`, other.URL+"/servers?marker=a")
	})
	if err := list(t, d); err != nil {
		t.Error(err)
	}
	if met.Load() {
		t.Error("the link was followed to another host")
	}
}

// A list whose pages go in a circle ends with an error: a part of a list would
// prove that servers are gone.
func TestPagesInACircle(t *testing.T) {
	d, _ := against(t, "", func(w http.ResponseWriter, r *http.Request) {
		marker := "a"
		if r.URL.Query().Get("marker") == "a" {
			marker = "b"
		}
		say(w, `{"servers": [], "servers_links": [{"rel": "next", "href": "/servers?marker=%s"}]}`, marker)
	})
	d.access().client.Transport.(*transport).trace = nil
	if err := list(t, d); err == nil || !strings.Contains(err.Error(), "does not end") {
		t.Errorf("got %v", err)
	}
}

// An object store that shows the same objects for ever is asked for them no more.
func TestObjectsInACircle(t *testing.T) {
	d, _ := against(t, "    object_store_endpoint_override: STUB/v1/a\n", func(w http.ResponseWriter, _ *http.Request) {
		say(w, `[{"name": "a"}, {"name": "b"}]`)
	})
	_, err := d.Objects(t.Context(), "c", "")
	if err == nil || !strings.Contains(err.Error(), "the next page is this page") {
		t.Errorf("got %v", err)
	}
}

// Answers without end, of every kind, are errors, and memory stays bounded.
func TestEndlessAnswers(t *testing.T) {
	for name, begin := range map[string]string{
		"no JSON": "", "a list": `{"servers": [`, "one value": `{"servers": [{"id": "`, "nested": `{"servers": [[[[`,
		"small": `{"servers": [`,
	} {
		t.Run(name, func(t *testing.T) {
			d, _ := against(t, "", func(w http.ResponseWriter, _ *http.Request) {
				say(w, "%s", begin)
				chunk := strings.Repeat("x", 1<<20)
				if name == "small" {
					chunk = strings.Repeat(`{"id": "a", "name": "b"},`, 1<<15)
				}
				for range 1024 {
					if _, err := io.WriteString(w, chunk); err != nil {
						return
					}
				}
			})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if err := list(t, d); err == nil {
				t.Error("taken for a list")
			}
			runtime.ReadMemStats(&after)
			grown := int64(after.Sys) - int64(before.Sys)
			t.Logf("%d MiB more", grown>>20)
			if grown > 200<<20 {
				t.Errorf("%d MiB more", grown>>20)
			}
		})
	}
}

// Whatever is no answer is an error of a known kind, and no panic.
func TestMalformedAnswers(t *testing.T) {
	for _, body := range []string{
		"", "null", "[]", "{}x", `{"servers": null}`, `{"servers": {}}`, `{"servers": [null]}`, `{"servers": [1]}`, `{"servers": [{"id": 1}]}`,
		`{"servers": [{"id": "a", "addresses": []}]}`, `{"servers": [{"id": "a", "created": "yesterday"}]}`, "\x00\xff", "<html>",
		`{"servers": [], "servers_links": [{"rel": "next", "href": "%zz"}]}`, `{"servers": [], "servers_links": 7}`,
		`{"servers": [{"id": "../../x", "name": "\u0000"}]}`,
	} {
		d, _ := against(t, "", func(w http.ResponseWriter, _ *http.Request) { say(w, "%s", body) })
		found, err := d.Instances(t.Context(), cloud.ListMark{})
		if err != nil && cloud.KindOf(err) == cloud.NotFound {
			t.Errorf("%q proves that something is gone: %v", body, err)
		}
		for _, i := range found.Instances {
			if i.Mark.Installation == "inst1" {
				t.Errorf("%q is ours: %+v", body, i)
			}
		}
	}
}

// Every call says whose it is.
func TestUserAgent(t *testing.T) {
	var agent atomic.Value
	d, _ := against(t, "", func(w http.ResponseWriter, r *http.Request) {
		agent.Store(r.Header.Get("User-Agent"))
		say(w, `{"servers": []}`)
	})
	if err := list(t, d); err != nil {
		t.Fatal(err)
	}
	if got := agent.Load(); got != "poold/1.2.3 (installation inst1)" {
		t.Errorf("got %q", got)
	}
}

// What is logged of calls shows what happened, and nothing secret.
func TestTrace(t *testing.T) {
	d, logs := against(t, "", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Openstack-Request-Id", "req-7")
		w.Header().Set("Set-Cookie", "session=c4nary")
		w.WriteHeader(http.StatusConflict)
		say(w, `{"conflictingRequest": {"message": "no", "adminPass": "c4nary", "deep": [{"token": "c4nary"}]}}`)
	})
	r := request{service: cloud.Compute, method: http.MethodPost, path: "/servers", what: "create", changes: true, in: map[string]any{
		"server": map[string]any{"name": "n1", "user_data": "c4nary", "personality": []any{"c4nary"}, "adminPass": "c4nary"},
	}}
	if err := d.call(t.Context(), r, nil); err == nil {
		t.Fatal("no error")
	}
	got := text(t, logs)
	for _, want := range []string{"/compute/servers", "req-7", "409", `\"name\":\"n1\"`, `\"message\":\"no\"`, "/v3/auth/tokens"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not told", want)
		}
	}
	for _, secret := range []string{"c4nary", "hunter2", "token-1"} {
		if strings.Contains(got, secret) {
			t.Errorf("%s is told:\n%s", secret, got)
		}
	}
}

// An answer that never ends, a byte at a time, ends with api_timeout.
func TestDribble(t *testing.T) {
	d, _ := against(t, "    api_timeout: 1\n", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			say(w, " ")
			if http.NewResponseController(w).Flush() != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	if err := list(t, d); cloud.KindOf(err) != cloud.Transient {
		t.Errorf("got %v", err)
	}
}

// Wherever the catalog points, the password goes to auth_url alone.
func TestCatalogElsewhereGetsNoPassword(t *testing.T) {
	var met atomic.Bool
	var leaked atomic.Value
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		met.Store(true)
		all, err := httputil.DumpRequest(r, true)
		if err != nil || strings.Contains(string(all), "hunter2") {
			leaked.Store(string(all))
		}
		w.WriteHeader(http.StatusUnauthorized) // perhaps it tries the password then
	}))
	defer other.Close()
	keystone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Subject-Token", "t")
		w.WriteHeader(http.StatusCreated)
		say(w, `{"token": {"issued_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-01T01:00:00Z", "project": {"id": "p"},
			"catalog": [{"type": "compute", "endpoints": [{"interface": "public", "region": "R", "region_id": "R", "url": %q}]},
				{"type": "identity", "endpoints": [{"interface": "public", "region": "R", "region_id": "R", "url": %q}]}]}}`,
			other.URL+"/v2.1", other.URL+"/v3")
	}))
	defer keystone.Close()
	writeClouds(t, fmt.Sprintf(`clouds:
  sim:
    region_name: R
    auth: {auth_url: %s/v3, username: u, password: hunter2, user_domain_name: d, project_name: p, project_domain_name: d}
`, keystone.URL))
	d, err := Open(Config{Cloud: "sim", Installation: "inst1", Gate: openGate{}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := list(t, d); cloud.KindOf(err) != cloud.Unauthorized {
		t.Errorf("got %v", err)
	}
	if !met.Load() {
		t.Error("the catalog was not believed: what was to be seen was not")
	}
	if l := leaked.Load(); l != nil {
		t.Errorf("it got the password:\n%s", l)
	}
}
