package openstack

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"poold/cloud"
)

// rotating is a cloud whose keystone takes some passwords, each for a project,
// and whose nova takes the tokens made with them.
type rotating struct {
	url string

	mu        sync.Mutex        // guards what follows
	passwords map[string]string // to projects
	logins    []string
}

func (c *rotating) set(password, project string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passwords[password] = project
}

func (c *rotating) revoke(password string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.passwords, password)
}

// tried returns the passwords of the logins so far.
func (c *rotating) tried() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.logins)
}

func (c *rotating) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "/auth/tokens") {
		var body struct {
			Auth struct {
				Identity struct {
					Password struct {
						User struct {
							Password string `json:"password"`
						} `json:"user"`
					} `json:"password"`
				} `json:"identity"`
			} `json:"auth"`
		}
		_ = json.NewDecoder(r.Body).Decode(&body)
		password := body.Auth.Identity.Password.User.Password
		c.logins = append(c.logins, password)
		project, ok := c.passwords[password]
		if !ok {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("X-Subject-Token", password)
		w.WriteHeader(http.StatusCreated)
		say(w, `{"token": {"issued_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-01T09:00:00Z", "project": {"id": %q}, "catalog": []}}`, project)
		return
	}
	if _, ok := c.passwords[r.Header.Get("X-Auth-Token")]; !ok {
		w.Header().Set("Www-Authenticate", `Keystone uri="http://k"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	say(w, `{"servers": []}`)
}

// rewrite writes clouds.yaml for a rotating cloud.
func rewrite(t *testing.T, path, url, password, more string) {
	t.Helper()
	text := fmt.Sprintf("clouds:\n  sim:\n    auth: {auth_url: %[1]s/v3, user_id: u, password: %[2]s, project_id: p}\n    compute_endpoint_override: %[1]s/compute\n%[3]s",
		url, password, more)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// looks calls Reload some times and returns what they came to.
func looks(t *testing.T, d *Driver, times int) (changed int, errs []string) {
	t.Helper()
	for range times {
		ok, err := d.Reload(t.Context())
		if err != nil {
			errs = append(errs, err.Error())
		}
		if ok {
			changed++
		}
	}
	return changed, errs
}

// inRotation opens a driver for a rotating cloud, and logs in.
func inRotation(t *testing.T) (c *rotating, path string, d *Driver) {
	t.Helper()
	c = &rotating{passwords: map[string]string{"one": "p"}}
	c.url = serve(t, c)
	path = writeClouds(t, "")
	rewrite(t, path, c.url, "one", "")
	d = open(t, "ours", cloud.Open{})
	if _, err := d.Instances(t.Context(), cloud.ListMark{}); err != nil {
		t.Fatal(err)
	}
	return c, path, d
}

// New credentials are taken over while calls go on, and no call is lost.
func TestReloadUnderLoad(t *testing.T) {
	c, path, d := inRotation(t)
	var stop atomic.Bool
	var calls atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for !stop.Load() {
				if _, err := d.Instances(t.Context(), cloud.ListMark{}); err != nil {
					t.Error(err)
					return
				}
				calls.Add(1)
			}
		})
	}
	before := "one"
	for i := range 20 {
		now := fmt.Sprintf("number-%d", i)
		c.set(now, "p")
		rewrite(t, path, c.url, now, "")
		if changed, errs := looks(t, d, 2); changed != 1 || errs != nil {
			t.Errorf("rotation %d: %d changes, %v", i, changed, errs)
		}
		c.revoke(before)
		before = now
	}
	stop.Store(true)
	wg.Wait()
	if tried := c.tried(); len(tried) != 21 || calls.Load() == 0 {
		t.Errorf("%d calls, %d logins, want 21: %v", calls.Load(), len(tried), tried)
	}
}

// Whatever is wrong changes nothing: it is told once, with its place, and the
// driver goes on as before.
func TestReloadOfNoUse(t *testing.T) {
	const head = "clouds:\n  sim:\n"
	for _, c := range []struct {
		name    string
		text    func(url string) string
		want    string
		changed int
		logins  int
	}{
		{"broken", func(string) string { return head + "    auth: {" }, "clouds.yaml:3: this is not YAML", 0, 1},
		{"half written", func(string) string { return head + "    auth: {auth_url: 'http://k/v3'}\n" }, "clouds.yaml:2: cloud \"sim\" has no password", 0, 1},
		{"without the cloud", func(string) string { return "clouds: {}" }, "there is no cloud \"sim\"", 0, 1},
		{"another region", func(url string) string {
			return head + "    auth: {auth_url: '" + url + "/v3', user_id: u, password: one, project_id: p}\n    region_name: two\n"
		}, "clouds.yaml:2: the region is now \"two\", not \"\"", 0, 1},
		{"another project", func(url string) string {
			return head + "    auth: {auth_url: '" + url + "/v3', user_id: u, password: other, project_id: q}\n"
		}, "clouds.yaml:2: the project is now q, not p", 0, 2},
		{"no certificate", func(url string) string {
			return head + "    auth: {auth_url: '" + url + "/v3', user_id: u, password: one, project_id: p}\n    cacert: /nonexistent\n"
		}, "clouds.yaml:2: cloud sim: read cacert", 0, 1},
		{"only a comment", func(url string) string {
			return "# new\n" + head + "    auth: {auth_url: " + url + "/v3, user_id: u, password: one, project_id: p}\n    compute_endpoint_override: " + url + "/compute\n"
		}, "", 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, path, d := inRotation(t)
			r.set("other", "q")
			before := d.access()
			if err := os.WriteFile(path, []byte(c.text(r.url)), 0o600); err != nil {
				t.Fatal(err)
			}
			changed, errs := looks(t, d, 40)
			if changed != c.changed || c.want == "" && errs != nil || c.want != "" && (len(errs) != 1 || !strings.Contains(errs[0], c.want)) {
				t.Errorf("%d changes, %q, want %d, %q", changed, errs, c.changed, c.want)
			}
			if d.access() != before {
				t.Error("it was taken over")
			}
			if _, err := d.Instances(t.Context(), cloud.ListMark{}); err != nil {
				t.Error(err)
			}
			if n := len(r.tried()); n != c.logins {
				t.Errorf("%d logins, want %d", n, c.logins)
			}
			// Mended, it is in effect again, without a login.
			rewrite(t, path, r.url, "one", "")
			if changed, errs := looks(t, d, 3); changed != 1 || errs != nil {
				t.Errorf("mended: %d changes, %q", changed, errs)
			}
		})
	}
}

// Credentials that are refused are tried again now and then, as the password
// may be set after the file was written; until then the old ones are used.
func TestReloadBeforeThePassword(t *testing.T) {
	c, path, d := inRotation(t)
	rewrite(t, path, c.url, "early", "")
	changed, errs := looks(t, d, 2*looksBetweenLogins+3)
	if changed != 0 || len(errs) != 2 || !strings.Contains(errs[0], "clouds.yaml:2: the new settings of cloud sim are not used: authenticate: unauthorized") {
		t.Errorf("%d changes, %q, want two tries", changed, errs)
	}
	for _, e := range errs {
		if strings.Contains(e, "early") {
			t.Errorf("the error has the password: %s", e)
		}
	}
	if _, err := d.Instances(t.Context(), cloud.ListMark{}); err != nil {
		t.Error(err)
	}
	c.set("early", "p")
	c.revoke("one")
	if changed, errs := looks(t, d, looksBetweenLogins+1); changed != 1 || errs != nil {
		t.Errorf("%d changes, %q", changed, errs)
	}
	if _, err := d.Instances(t.Context(), cloud.ListMark{}); err != nil {
		t.Error(err)
	}
}

// A file is not read before it stays the same for two looks: it may be half
// written and still make sense.
func TestReloadWaitsForTheWriter(t *testing.T) {
	c, path, d := inRotation(t)
	c.set("two-and-more", "p")
	for _, half := range []string{"t", "two", "two-and", "two-and-more"} {
		rewrite(t, path, c.url, half, "")
		if changed, errs := looks(t, d, 1); changed != 0 || errs != nil {
			t.Errorf("%s: %d changes, %q", half, changed, errs)
		}
	}
	if changed, errs := looks(t, d, 1); changed != 1 || errs != nil {
		t.Errorf("%d changes, %q", changed, errs)
	}
	if tried := c.tried(); len(tried) != 2 {
		t.Errorf("logins: %v", tried)
	}
}

// All settings are new after a reload but the format of images, for which they
// are built.
func TestReloadSettings(t *testing.T) {
	c, path, d := inRotation(t)
	old := d.access()
	d.memory.at("key").put("value")
	rewrite(t, path, c.url, "one", "    api_timeout: 7\n    image_format: raw\n")
	if changed, errs := looks(t, d, 2); changed != 1 || errs != nil {
		t.Fatalf("%d changes, %q", changed, errs)
	}
	if got := d.access().settings.apiTimeout; got != 7*time.Second || d.ImageFormat() != "qcow2" {
		t.Errorf("got %v and %s", got, d.ImageFormat())
	}
	if d.memory.at("key").get() != nil {
		t.Error("what was learned with the old settings is still remembered")
	}
	if !old.keystone.closed {
		t.Error("the old token is still kept")
	}
}
