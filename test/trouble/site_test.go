//go:build browser

package trouble

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"poold/store/kv"
	"poold/store/kv/etcdkv"
	"poold/test/demo"
	"poold/test/monitor"
	"poold/test/proc"
	"poold/test/protocol"
)

const (
	root      = "../.."
	image     = "ubuntu-noble"
	rulesFile = "../../deploy/prometheus/rules.yml"

	dashboardFile = "../../deploy/grafana/poold.json"
	// limit is how long anything may take on a machine that has other things to
	// do; what the overview waits for itself, three minutes at most, is within it.
	limit = 8 * time.Minute
	// diskSize is that of the builder's disk.
	diskSize = 64 << 20
)

// asCloud is the variable that has this program be the command "openstack": its
// value is the simulated cloud's URL.
const asCloud = "POOLD_TEST_CLOUD"

func TestMain(m *testing.M) {
	if url := os.Getenv(asCloud); url != "" {
		if err := openstack(url, os.Args[1:]); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// openstack does what the operator of the cloud asks of it: a server whose state
// is set can be deleted again.
func openstack(url string, args []string) error {
	method, path := http.MethodGet, "/sim/servers"
	if strings.Contains(strings.Join(args, " "), "server set --state error") {
		method, path = http.MethodDelete, "/sim/faults"
	}
	status, _, err := demo.Ask(context.Background(), method, url+path)
	if err == nil && status >= http.StatusBadRequest {
		err = errors.New(http.StatusText(status))
	}
	return err
}

// site is a poold with all that surrounds it.
type site struct {
	*demo.Site

	t      *testing.T
	bin    string
	config string
	images string
	etcd   *proxy
	peer   *proc.Process
	watch  *monitor.Prometheus
	// began is when that began to watch.
	began time.Time
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, bin: t.TempDir(), images: filepath.Join(t.ArtifactDir(), "images"), config: filepath.Join(t.ArtifactDir(), "nodepool.yaml")}
	if err := proc.Build(t.Context(), s.bin, root+"/cmd/poold", root+"/cmd/poolctl"); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, filepath.Join(s.bin, "openstack"))
	}
	if err != nil {
		t.Fatal(err)
	}
	s.disk()
	db := demo.Start(t, filepath.Join(s.bin, "poold"), t.ArtifactDir(), "etcd", "--only", "etcd")
	s.etcd = startProxy(t, strings.TrimPrefix(db.Etcd, "http://"))
	s.Site = demo.NewSiteOn(t, filepath.Join(s.bin, "poold"), root, fmt.Sprintf("{endpoints: [%q], lease-ttl: 30s}", "http://"+s.etcd.address))
	s.Etcd = db
	s.Amend(func(text string) string {
		return regexp.MustCompile(`min-ready: \d+`).ReplaceAllString(text, "min-ready: 0")
	})
	s.peer = s.Run(filepath.Join(s.bin, "poold"))
	s.AwaitReady(s.peer)
	s.began = time.Now()
	s.watch = monitor.Start(t, s.Web, s.quickRules())
	return s
}

// disk gives the builder a small disk of its own.
func (s *site) disk() {
	s.t.Helper()
	if err := os.MkdirAll(s.images, 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", s.images, "tmpfs", 0, fmt.Sprintf("size=%d", diskSize)); err != nil {
		s.t.Skipf("only root can give the builder a disk of its own: %v", err)
	}
	s.t.Cleanup(func() {
		if err := syscall.Unmount(s.images, syscall.MNT_DETACH); err != nil {
			s.t.Error(err)
		}
	})
}

// quickRules are the rules, without the time that a trouble must last.
func (s *site) quickRules() string {
	s.t.Helper()
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		s.t.Fatal(err)
	}
	name := filepath.Join(s.t.TempDir(), "rules.yml")
	text = regexp.MustCompile(`(?m)^(\s+for:) .*$`).ReplaceAll(text, []byte("$1 1s"))
	if err := os.WriteFile(name, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return name
}

func (s *site) await(t *testing.T, what string, look func() (string, bool)) {
	t.Helper()
	proc.Await(t, what, limit, look, s.peer, s.Etcd.Process, s.Clouds.Process, s.watch.Process)
}

// in is a cloud.
func (s *site) in(t *testing.T, name string) demo.Cloud {
	t.Helper()
	for _, c := range s.Clouds.Clouds {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("there is no cloud %s", name)
	return demo.Cloud{}
}

// sim changes a simulated cloud.
func (s *site) sim(t *testing.T, cloud, method, what string, value any) {
	t.Helper()
	body, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, s.in(t, cloud).URL+"/sim/"+what, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close() // only the status counts
	if answer.StatusCode >= http.StatusBadRequest {
		t.Fatalf("%s %s of %s: status %d", method, what, cloud, answer.StatusCode)
	}
}

// ask asks for nodes of one provider, in the name of a client.
func (s *site) ask(t *testing.T, client, id, provider string, labels ...string) *protocol.Request {
	t.Helper()
	want := protocol.Want{Provider: provider, Labels: labels}
	r, err := protocol.New(s.Etcd.Etcd, client).Ask(s.t.Context(), id, want, 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	// A trouble that ends early leaves nothing to the next.
	t.Cleanup(func() { _ = r.Delete(context.WithoutCancel(t.Context())) })
	return r
}

// served waits for the nodes of a request.
func (s *site) served(t *testing.T, r *protocol.Request) []protocol.Node {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	a, err := r.Wait(ctx)
	if err != nil || a.State != "fulfilled" {
		t.Fatalf("%s: %v %+v", r.Name(), err, a)
	}
	return a.Nodes
}

func (*site) release(t *testing.T, r *protocol.Request) {
	t.Helper()
	if err := r.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// list reads a list of the JSON API.
func (s *site) list(t *testing.T, kind string) []map[string]any {
	t.Helper()
	_, body, err := demo.Ask(t.Context(), http.MethodGet, s.Web+"/api/v1/"+kind)
	var answer struct{ Items []map[string]any }
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	if err != nil {
		t.Fatal(err)
	}
	return answer.Items
}

// node is a field of a node's record.
func (s *site) node(t *testing.T, id, field string) string {
	t.Helper()
	for _, n := range s.list(t, "nodes") {
		if n["id"] == id {
			return fmt.Sprint(n[field])
		}
	}
	t.Fatalf("there is no node %s", id)
	return ""
}

// newest waits for an upload of a build that none of those known is of, and
// returns the build and the image in the cloud.
func (s *site) newest(t *testing.T, provider string, known ...string) (build, id string) {
	t.Helper()
	s.await(t, "a new build of "+image+" in "+provider, func() (string, bool) {
		var seen []string
		for _, u := range s.list(t, "uploads?provider="+provider) {
			seen = append(seen, fmt.Sprint(u["build"], " ", u["state"]))
			if u["state"] == "ready" && !strings.Contains(strings.Join(known, " "), fmt.Sprint(u["build"])) {
				build, id = fmt.Sprint(u["build"]), fmt.Sprint(u["external_id"])
				return "", true
			}
		}
		return strings.Join(seen, ", "), false
	})
	return build, id
}

// age makes a node have been in its state for longer than there is time to wait
// for.
func (s *site) age(t *testing.T, provider, id string, by time.Duration) {
	t.Helper()
	db, err := etcdkv.Open(t.Context(), etcdkv.Config{Endpoints: []string{s.Etcd.Etcd}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // nothing depends on it
	key := "/poold/v1/nodes/" + provider + "/" + id
	s.await(t, id+" is older", func() (string, bool) {
		it, err := db.Get(t.Context(), key)
		if err != nil {
			return err.Error(), false
		}
		var n map[string]any
		if err := json.Unmarshal(it.Value, &n); err != nil {
			t.Fatal(err)
		}
		since, err := time.Parse(time.RFC3339, fmt.Sprint(n["since"]))
		if err != nil {
			t.Fatal(err)
		}
		n["since"] = since.Add(-by)
		value, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		_, done, err := db.Commit(t.Context(), kv.Txn{If: []kv.Cond{kv.Unchanged(key, it.ModRevision)}, Then: []kv.Op{kv.Put(key, value)}})
		return fmt.Sprint(err), err == nil && done
	})
}

// poolctl runs a command as an operator does.
func (s *site) poolctl(t *testing.T, args ...string) {
	t.Helper()
	s.shell(t, "poolctl "+strings.Join(args, " "))
}

// shell runs commands, with the variables that they need.
func (s *site) shell(t *testing.T, commands string, env ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euc", commands)
	cmd.Env = append(os.Environ(), "PATH="+s.bin+":"+os.Getenv("PATH"), etcdkv.EndpointsVariable+"="+s.Etcd.Etcd)
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	t.Logf("%s\n%s", commands, out)
	if err != nil {
		t.Fatal(err)
	}
}

// trouble is what the overview and Prometheus have to say of one.
type trouble struct {
	class string
	// text is a part of what the overview says, which names who is to blame.
	text string
	// alert is the alert that fires, for this provider and this image if it is of any.
	alert, provider, image string
}

// shows waits until the overview names the trouble, and nothing else but what lasts
// all the time, and the alert fires; and takes a picture.
func (s *site) shows(t *testing.T, w trouble) {
	t.Helper()
	s.await(t, "the overview says just: "+w.text, func() (string, bool) {
		told := s.told(t, w)
		return strings.Join(told, "; "), len(told) == 1 && strings.Contains(told[0], w.text)
	})
	s.await(t, w.alert+" fires", func() (string, bool) {
		alerts, err := s.watch.Alerts(t)
		return fmt.Sprint(alerts, err), s.fires(alerts, w)
	})
	s.shoot(t, w.class)
}

// over waits until the overview says nothing of it any more, nor of anything else
// that does not last, and the alert is silent.
func (s *site) over(t *testing.T, w trouble) {
	t.Helper()
	s.await(t, "the overview says no more: "+w.text, func() (string, bool) {
		told := s.told(t, w)
		return strings.Join(told, "; "), len(told) == 0
	})
	s.await(t, w.alert+" is silent", func() (string, bool) {
		alerts, err := s.watch.Alerts(t)
		return fmt.Sprint(alerts, err), err == nil && !s.fires(alerts, w)
	})
}

func (*site) fires(alerts []monitor.Alert, w trouble) bool {
	return slices.ContainsFunc(alerts, func(a monitor.Alert) bool {
		return a.Labels["alertname"] == w.alert && a.State == "firing" && a.Labels["provider"] == w.provider && a.Labels["image"] == w.image
	})
}

// told is what the overview says is wrong, without the trouble that lasts all the
// time unless it is that one.
func (s *site) told(t *testing.T, w trouble) []string {
	t.Helper()
	_, body, err := demo.Ask(t.Context(), http.MethodGet, s.Web+"/")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(body), `<section id="wrong"`)
	section, _, whole := strings.Cut(rest, "</section>")
	if !whole {
		t.Fatalf("the overview does not say what is wrong: %s", body)
	}
	var told []string
	for _, item := range regexp.MustCompile(`(?s)<li .*?</li>`).FindAllString(section, -1) {
		text := html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(item, ""))
		if w == dead() || !strings.Contains(text, dead().text) {
			told = append(told, text)
		}
	}
	return told
}

// shoot takes a picture of the overview, where somebody wants them.
func (s *site) shoot(t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv("POOLD_SHOTS")
	if dir == "" {
		return
	}
	file := filepath.Join(dir, "trouble-"+name+".png")
	out, err := exec.CommandContext(t.Context(), "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
		"--window-size=1280,1600", "--user-data-dir="+t.TempDir(), "--screenshot="+file, s.Web+"/").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("picture: %s", file)
}
