//go:build bench

package bench

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"poold/pool"
	"poold/store"
	"poold/store/kv/etcdkv"
	"poold/test/demo"
	"poold/test/proc"
)

// clockTick is the unit of CPU time in /proc, on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// setup is what a site is like.
type setup struct {
	regions []region
	// labels is how many labels there are, minReady how many nodes each keeps
	// ready.
	labels, minReady int
	// rate is nodepool's: seconds between two calls.
	rate float64
	// ssh makes poold read host keys.
	ssh bool
}

// site is an etcd, a simulated cloud and a poold, all running.
type site struct {
	t      testing.TB
	setup  setup
	dir    string
	config string
	web    string
	runs   int
	// method is how images are uploaded, if it is said.
	method string

	etcd  *demo.Demo
	cloud *simulator
	poold *proc.Process
	kv    *etcdkv.KV
	store *store.Store
}

// newSite starts everything and waits until poold is ready for work.
func newSite(tb testing.TB, s setup) *site {
	tb.Helper()
	w := prepare(tb, s)
	w.run()
	return w
}

// prepare starts everything but poold.
func prepare(tb testing.TB, s setup) *site {
	tb.Helper()
	w := &site{t: tb, setup: s, dir: tb.ArtifactDir()}
	w.etcd = demo.Start(quiet{tb}, binary(), w.dir, "etcd", "--only", "etcd")
	w.cloud = startSimulator(tb, w.dir, s.regions...)
	port := proc.FreePorts(tb, 1)[0]
	w.web = proc.Loopback(port)
	w.config = filepath.Join(w.dir, "nodepool.yaml")
	if err := os.WriteFile(w.config, []byte(w.yaml(port)), 0o600); err != nil {
		tb.Fatal(err)
	}
	var err error
	w.kv, err = etcdkv.Open(tb.Context(), etcdkv.Config{Endpoints: []string{w.etcd.Etcd}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = w.kv.Close() }) // the etcd goes, too
	w.store = store.New(w.kv, "", zap.NewNop())
	return w
}

// label is the name of a label.
func label(i int) string { return fmt.Sprintf("label-%d", i) }

// yaml is the configuration of poold.
func (w *site) yaml(port int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "etcd:\n  endpoints: [%q]\n  lease-ttl: 3s\nwebapp: {port: %d, listen_address: 127.0.0.1}\nlabels:\n",
		w.etcd.Etcd, port)
	for i := range max(1, w.setup.labels) {
		fmt.Fprintf(&b, "  - {name: %s, min-ready: %d}\n", label(i), w.setup.minReady)
	}
	b.WriteString("providers:\n")
	for i := range w.setup.regions {
		fmt.Fprintf(&b, `  - name: p%d
    cloud: bench
    region-name: R%d
    rate: %v
    boot-timeout: 120
    cloud-images: [{name: ubuntu, connection-port: %d}]
    pools:
      - name: main
        networks: [private]
        auto-floating-ip: false
        host-key-checking: %v
        labels:
`, i, i, w.setup.rate, sshPort, w.setup.ssh)
		for i := range max(1, w.setup.labels) {
			fmt.Fprintf(&b, "          - {name: %s, cloud-image: ubuntu, flavor-name: small}\n", label(i))
		}
	}
	return b.String()
}

// run starts poold and waits until it is ready for work.
func (w *site) run() {
	w.t.Helper()
	w.runs++
	cmd := exec.Command(binary(), "-c", w.config)
	cmd.Env = append(os.Environ(), "OS_CLIENT_CONFIG_FILE="+w.cloud.file)
	w.poold = proc.Start(w.t, w.dir, fmt.Sprintf("poold-%d", w.runs), cmd)
	proc.Await(quiet{w.t}, "poold is ready for work", time.Minute, func() (string, bool) {
		status, body, err := demo.Ask(w.t.Context(), http.MethodGet, w.web+"/readyz")
		return fmt.Sprintf("%d %s %v", status, body, err), status == http.StatusOK
	}, w.poold)
}

// records reads all records.
func (w *site) records() *pool.Snapshot {
	w.t.Helper()
	s, err := w.store.Read(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// count is how many nodes are in a state.
func (w *site) count(state pool.NodeState) int {
	w.t.Helper()
	n := 0
	for _, node := range w.records().Nodes {
		if node.State == state {
			n++
		}
	}
	return n
}

// filling is how long it may take until a thousand nodes are in a state, on a
// machine that has other things to do.
const filling = 2 * time.Minute

// awaitNodes waits until at least n nodes are in a state.
func (w *site) awaitNodes(state pool.NodeState, n int) {
	w.t.Helper()
	limit := filling * time.Duration(1+n/1000)
	proc.Await(quiet{w.t}, fmt.Sprintf("%d nodes are %s", n, state), limit, func() (string, bool) {
		have := w.count(state)
		return strconv.Itoa(have), have >= n
	}, w.poold, w.cloud.Process, w.etcd.Process)
}

// awaitGone waits until the cloud has at most n servers left, and returns how
// many it has.
func (w *site) awaitGone(n int, limit time.Duration) int {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		left := w.cloud.count()
		if left <= n || ctx.Err() != nil {
			return left
		}
		<-tick.C
	}
}

// cpu is the CPU time that a process has used.
func cpu(tb testing.TB, p *proc.Process) time.Duration {
	tb.Helper()
	return cpuOf(tb, strconv.Itoa(p.Pid()))
}

func cpuOf(tb testing.TB, pid string) time.Duration {
	tb.Helper()
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		tb.Fatal(err)
	}
	// The name of the command, in parentheses, may hold spaces.
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err1 != nil || err2 != nil {
		tb.Fatalf("no CPU times in %q", text)
	}
	return time.Duration(user+system) * clockTick
}

// resident is the memory of a process, in bytes.
func resident(tb testing.TB, p *proc.Process) int64 {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.Pid()))
	if err != nil {
		tb.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
