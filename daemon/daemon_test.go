package daemon

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"poold/config"
	"poold/pool"
	"poold/store"
	"poold/store/kv"
	"poold/store/kv/etcdkv"
	"poold/store/kv/memkv"
)

// freePort returns a listener on the loopback.
func freePort(t *testing.T) net.Listener {
	t.Helper()
	l, err := listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// get returns the status and the body of a page.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// systemd stands in for it: it returns what the process tells, in order.
func systemd(t *testing.T) <-chan string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "s")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	told := make(chan string, 1000)
	go func() {
		defer close(told)
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			told <- string(buf[:n])
		}
	}()
	return told
}

// systemd learns when the peer is ready, that it lives, and that it stops.
func TestNotify(t *testing.T) {
	told := systemd(t)
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", "")
	d := newDaemon(&config.Config{Name: "one", Etcd: config.Etcd{LeaseTTL: ttl}}, Options{Log: zap.NewNop()})
	ctx, cancel := context.WithCancel(t.Context())
	listener := freePort(t)
	ended := make(chan error, 1)
	go func() { ended <- d.workOn(ctx, memkv.New(time.Now()), listener) }()
	if first := waitFor(t, told, "READY=1"); slices.Contains(first, "STOPPING=1") {
		t.Errorf("it stops before it is ready: %v", first)
	}
	for range 3 {
		waitFor(t, told, "WATCHDOG=1")
	}
	if status, body := get(t, "http://"+listener.Addr().String()+"/readyz"); status != http.StatusOK {
		t.Errorf("ready for systemd, and for HTTP %d %s", status, body)
	}
	cancel()
	waitFor(t, told, "STOPPING=1")
	if err := <-ended; err == nil || ctx.Err() == nil {
		t.Errorf("ended with %v", err)
	}
}

// Without systemd, or without its watchdog, nothing is told.
func TestNoWatchdog(t *testing.T) {
	told := systemd(t)
	t.Setenv("WATCHDOG_USEC", "")
	watchdog(t.Context(), zap.NewNop(), func() bool { return true }) // returns at once
	notify(zap.NewNop(), "LAST=1")
	if got := waitFor(t, told, "LAST=1"); len(got) != 1 {
		t.Errorf("told %v", got)
	}
}

// waitFor returns what was told up to and including a word.
func waitFor(t *testing.T, told <-chan string, word string) []string {
	t.Helper()
	var all []string
	limit := time.After(time.Minute)
	for {
		select {
		case got := <-told:
			if all = append(all, got); got == word {
				return all
			}
		case <-limit:
			t.Fatalf("%s never came, only %v", word, all)
		}
	}
}

// A stop while etcd is away is a stop like any other.
func TestStopWithoutEtcd(t *testing.T) {
	cfg := &config.Config{Etcd: config.Etcd{Endpoints: []string{"http://127.0.0.1:1"}, LeaseTTL: ttl}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	listener := freePort(t)
	go func() { ended <- newDaemon(cfg, Options{Log: zap.NewNop()}).run(ctx, listener) }()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	if _, err := listener.Accept(); err == nil {
		t.Error("the port is still open")
	}
}

// A nodepool.yaml as it comes does not name etcd: the way out is said at once,
// not after a while of not reaching it.
func TestWithoutAnEtcd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nodepool.yaml")
	if err := os.WriteFile(file, []byte("labels: []\nproviders: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := Run(t.Context(), Options{ConfigFile: file, Log: zap.NewNop(), Out: io.Discard})
	if err == nil || !strings.Contains(err.Error(), file+": it does not say where etcd is; add etcd:") {
		t.Errorf("ended with %v", err)
	}
}

// Without its certificates the peer does not start at all.
func TestBadCertificates(t *testing.T) {
	cfg := &config.Config{Etcd: config.Etcd{Endpoints: []string{"https://127.0.0.1:1"}, TLS: config.TLS{CA: "/none.pem"}}}
	err := newDaemon(cfg, Options{Log: zap.NewNop()}).run(t.Context(), freePort(t))
	if err == nil || !strings.Contains(err.Error(), "read etcd's CA") {
		t.Errorf("ended with %v", err)
	}
}

// connect opens an etcd until the test ends.
func connect(t *testing.T, endpoint string) *etcdkv.KV {
	t.Helper()
	db, err := etcdkv.Open(t.Context(), etcdkv.Config{Endpoints: []string{endpoint}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// The state of a one-machine site is still there after a restart.
func TestEmbeddedEtcdRestarts(t *testing.T) {
	dir := t.TempDir()
	endpoint, stop, err := startEtcd(t.Context(), dir, 0, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	revision, _, err := connect(t, endpoint).Commit(t.Context(), kv.Txn{Then: []kv.Op{kv.Put("/key", []byte("value"))}})
	stop()
	if err != nil {
		t.Fatal(err)
	}
	endpoint, stop, err = startEtcd(t.Context(), dir, 0, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	it, err := connect(t, endpoint).Get(t.Context(), "/key")
	if err != nil || string(it.Value) != "value" || it.ModRevision != revision {
		t.Errorf("after the restart: %+v, %v", it, err)
	}
}

// A port that is taken is said, and how to move.
func TestEmbeddedEtcdPortTaken(t *testing.T) {
	l := freePort(t)
	defer func() { _ = l.Close() }()
	_, _, err := startEtcd(t.Context(), t.TempDir(), l.Addr().(*net.TCPAddr).Port, zap.NewNop())
	if err == nil || !strings.Contains(err.Error(), "--etcd-port") {
		t.Errorf("started with %v", err)
	}
}

// demoTest is a demo that runs inside the test.
type demoTest struct {
	// at is where its parts are, by what it calls them.
	at   map[string]string
	stop func() error
}

// startDemo runs a demo until it says what is waited for: "ready", or where a
// part of it is.
func startDemo(t *testing.T, o DevOptions, last string) demoTest {
	t.Helper()
	in, out := io.Pipe()
	o.Out, o.Log, o.Version = out, zap.NewNop(), "v1"
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		err := Dev(ctx, o)
		_ = out.CloseWithError(err)
		ended <- err
	}()
	d := demoTest{at: map[string]string{}, stop: func() error {
		cancel()
		return <-ended
	}}
	lines := bufio.NewScanner(in)
	for d.at[last] == "" {
		if !lines.Scan() {
			t.Fatalf("the demo ended before it said %s: %v", last, <-ended)
		}
		what, where, _ := strings.Cut(lines.Text(), " ")
		d.at[what] = cmp.Or(where, "said")
	}
	go func() { _, _ = io.Copy(io.Discard, in) }()
	return d
}

// demoConfig is a demo with one cloud and one label.
const demoConfig = `
images-dir: "%(NODEPOOL_DEMO_DIR)/images"
build-log-dir: "%(NODEPOOL_DEMO_DIR)/logs"
labels: [{name: noble, min-ready: 1}]
diskimages: [{name: noble, dib-cmd: "%(NODEPOOL_DEMO_DIR)/make-image", elements: [vm], username: zuul}]
providers:
  - name: north
    cloud: demo-north
    region-name: RegionOne
    rate: 0.01
    boot-timeout: 60
    diskimages: [{name: noble, config-drive: true, connection-port: 10022}]
    pools:
      - name: main
        networks: [private]
        auto-floating-ip: false
        labels: [{name: noble, diskimage: noble, flavor-name: small}]
`

// The whole program, twice over the same folder: every part does its duty, is
// measured, and leaves nothing behind that the next life waits for.
func TestDemoRestarts(t *testing.T) {
	t.Setenv("OS_CLIENT_CONFIG_FILE", "") // the demo sets it
	dir := t.TempDir()
	file := filepath.Join(dir, "nodepool.yaml")
	if err := os.WriteFile(file, []byte(demoConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	options := DevOptions{Options: Options{ConfigFile: file}, DataDir: filepath.Join(dir, "data")}
	first := look(t, startDemo(t, options, "web"))
	second := look(t, startDemo(t, options, "web"))
	if first.installation != second.installation {
		t.Errorf("the installation was %s and is %s", first.installation, second.installation)
	}
	if first.build != second.build {
		t.Errorf("the build was %s and is %s: it was built again", first.build, second.build)
	}
}

// seen is what a life of the demo leaves.
type seen struct{ installation, build string }

// look waits until a demo works, checks what it shows, and ends it.
func look(t *testing.T, d demoTest) seen {
	t.Helper()
	db := connect(t, d.at["etcd"])
	records := store.New(db, "", zap.NewNop())
	s := busy(t, records, 4)
	want := []string{
		"owners/allocator", "owners/image/noble", "owners/provider/north", "owners/upload/north", "members/demo",
	}
	got := slices.DeleteFunc(keys(t, db), func(key string) bool {
		// They have the address of the cloud in them.
		return strings.HasPrefix(key, "owners/launching/") || strings.HasPrefix(key, "owners/uploading/")
	})
	if !slices.Equal(got, want) {
		t.Errorf("etcd holds %v, want %v", got, want)
	}
	if status, body := get(t, d.at["web"]+"/readyz"); status != http.StatusOK {
		t.Errorf("/readyz: %d %s", status, body)
	}
	shows(t, d.at["web"]+"/api/v1/nodes", func(body string) bool {
		var nodes struct{ Items []pool.Node }
		if err := json.Unmarshal([]byte(body), &nodes); err != nil {
			t.Fatal(err)
		}
		return len(nodes.Items) > 0
	})
	documented(t, d)
	installation, err := records.Installation(t.Context(), func() (string, error) { return "", io.ErrUnexpectedEOF })
	if err != nil {
		t.Error(err)
	}
	if err := d.stop(); err != nil {
		t.Errorf("the demo ended with %v", err)
	}
	return seen{installation, s.Builds[0].ID}
}

// busy waits until the only peer does some number of duties and there is a
// node, for which there must be an image in a cloud, and returns the records.
func busy(t *testing.T, records *store.Store, duties int) *pool.Snapshot {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	view := records.View()
	changed, unsubscribe := view.Subscribe()
	defer unsubscribe()
	go func() { _ = view.Run(ctx) }()
	for {
		s := view.Snapshot()
		if len(s.Members) == 1 && len(s.Members[0].Owns) == duties && len(s.Nodes) > 0 {
			return s
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("the peer never did %d duties and made a node: %+v", duties, s.Members)
		}
	}
}

// shows waits until a page has what is wanted of it. The peer hears of its own
// writes a moment after etcd has them, and shows a duty as its own a moment
// before the component that does it is there.
func shows(t *testing.T, page string, wanted func(body string) bool) string {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for {
		status, body := get(t, page)
		if status == http.StatusOK && wanted(body) {
			return body
		}
		if time.Since(began) > 3*time.Minute {
			t.Fatalf("%s never shows what is wanted: %d %s", page, status, body)
		}
		<-tick.C
	}
}

// documented checks that docs/metrics.md has all that /metrics tells.
func documented(t *testing.T, d demoTest) {
	t.Helper()
	reference, err := os.ReadFile(metricsFile)
	if err != nil {
		t.Fatal(err)
	}
	page := shows(t, d.at["web"]+"/metrics", func(body string) bool {
		return strings.Contains(body, "# TYPE poold_allocator_") && strings.Contains(body, "# TYPE poold_launcher_")
	})
	for line := range strings.Lines(page) {
		name, ok := strings.CutPrefix(line, "# TYPE poold_")
		if !ok {
			continue
		}
		name, _, _ = strings.Cut("poold_"+name, " ")
		if !strings.Contains(string(reference), "`"+name+"`") {
			t.Errorf("%s lacks %s", metricsFile, name)
		}
	}
}

func TestDevOnly(t *testing.T) {
	t.Setenv("OS_CLIENT_CONFIG_FILE", "")
	for only, want := range map[string][]string{"etcd": {"etcd"}, "clouds": {"cloud", "clouds"}} {
		d := startDemo(t, DevOptions{Only: only}, "ready")
		delete(d.at, "ready")
		got := slices.Sorted(maps.Keys(d.at))
		if !slices.Equal(got, want) {
			t.Errorf("--only %s runs %v, want %v", only, got, want)
		}
		if err := d.stop(); err != nil {
			t.Errorf("--only %s ended with %v", only, err)
		}
	}
	if err := Dev(t.Context(), DevOptions{Only: "nonsense"}); err == nil || !strings.Contains(err.Error(), "etcd or clouds") {
		t.Errorf("--only nonsense: %v", err)
	}
}

// workOn works on a store, with the pages at a listener.
func (d *Daemon) workOn(ctx context.Context, db kv.KV, listener net.Listener) error {
	return d.serving(ctx, listener, func(ctx context.Context) error { return d.work(ctx, db, listener.Addr()) })
}
