//go:build bench

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"poold/cloud/sim"
	"poold/cloud/sim/openstackapi"
	"poold/test/proc"
)

// simulatorVariable makes the test binary a simulated cloud: it holds the
// regions as JSON.
const simulatorVariable = "POOLD_BENCH_CLOUD"

// password is that of every region.
const password = "bench"

// sshPort is where servers answer SSH, each at an address of its own.
const sshPort = 10022

// region is what one region of the simulated cloud is like.
type region struct {
	sim.Config

	// SSH lets the servers answer SSH, once they have booted.
	SSH bool
}

// fill completes the configuration of a region.
func (r *region) fill(i int) {
	r.Name, r.Region, r.Password = "bench", fmt.Sprintf("R%d", i), password
	r.Seed, r.SSHPort, r.Images = uint64(i+1), sshPort, []string{"ubuntu"}
	r.Fixed = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i)}), 16)
	if r.SSH {
		r.Fixed = netip.PrefixFrom(netip.AddrFrom4([4]byte{127, byte(201 + i)}), 16)
	}
}

// simulate is the main function of the simulated cloud.
func simulate(text string) error {
	var regions []region
	if err := json.Unmarshal([]byte(text), &regions); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var clouds []*sim.Cloud
	var answering sync.WaitGroup
	for i := range regions {
		regions[i].fill(i)
		c := sim.New(regions[i].Config, time.Now())
		clouds = append(clouds, c)
		if regions[i].SSH {
			answering.Go(func() { _ = sim.NewSSHD(c, time.Now).Run(ctx) })
		}
	}
	defer answering.Wait()
	fmt.Println("cloud http://" + l.Addr().String())
	err = openstackapi.Serve(ctx, l, &recorder{
		next: openstackapi.New(time.Now, clouds...), clouds: clouds, asked: map[string]time.Time{}, answers: map[int]int{},
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// recorder notes what tests want to know besides what the simulator shows.
type recorder struct {
	next   http.Handler
	clouds []*sim.Cloud

	mu sync.Mutex // guards what follows
	// asked is when each server was first asked to be deleted.
	asked map[string]time.Time
	// answers counts the answers by status.
	answers map[int]int
}

// observed is an answer that is being given.
type observed struct {
	http.ResponseWriter

	status int
}

func (o *observed) WriteHeader(status int) {
	o.status = status
	o.ResponseWriter.WriteHeader(status)
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if what, mine := strings.CutPrefix(req.URL.Path, "/bench/"); mine {
		text, err := json.Marshal(r.show(what))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(text) // whoever went away needs no answer
		return
	}
	now := time.Now()
	o := &observed{ResponseWriter: w, status: http.StatusOK}
	r.next.ServeHTTP(o, req)
	if strings.HasPrefix(req.URL.Path, "/sim/") {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers[o.status]++
	if id := filepath.Base(req.URL.Path); req.Method == http.MethodDelete && r.asked[id].IsZero() {
		r.asked[id] = now
	}
}

// show returns what is asked for.
func (r *recorder) show(what string) any {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch what {
	case "deletes":
		return maps.Clone(r.asked)
	case "answers":
		return maps.Clone(r.answers)
	}
	n := int64(0)
	for _, c := range r.clouds {
		n += c.Facts(time.Now()).Used.Instances
	}
	return n
}

// simulator is a running simulated cloud.
type simulator struct {
	*proc.Process

	t       testing.TB
	url     string
	regions int
	file    string // the clouds.yaml
}

// startSimulator runs a simulated cloud with the regions until the test ends.
func startSimulator(tb testing.TB, dir string, regions ...region) *simulator {
	tb.Helper()
	text, err := json.Marshal(regions)
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), simulatorVariable+"="+string(text))
	s := &simulator{t: tb, regions: len(regions), Process: proc.Start(tb, dir, "cloud", cmd)}
	proc.Await(quiet{tb}, "the cloud is there", time.Minute, func() (string, bool) {
		var found bool
		_, s.url, found = strings.Cut(strings.TrimSpace(s.Output()), "cloud ")
		return s.Output(), found
	}, s.Process)
	s.file = filepath.Join(dir, "clouds.yaml")
	entry := map[string]any{"clouds": map[string]any{"bench": map[string]any{"auth": map[string]any{
		"auth_url": s.url + "/v3", "username": "ci", "password": password, "project_name": "ci",
		"user_domain_name": "Default", "project_domain_name": "Default",
	}, "image_format": "raw"}}}
	text, err = json.Marshal(entry) // JSON is YAML
	if err == nil {
		err = os.WriteFile(s.file, text, 0o600)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// ask makes a call to what the simulator shows to tests, of one region.
func (s *simulator) ask(method, path string, region int, body, into any) {
	s.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	url := fmt.Sprintf("%s%s?region=R%d", s.url, path, region)
	req, err := http.NewRequestWithContext(s.t.Context(), method, url, bytes.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	text, err = io.ReadAll(answer.Body)
	err = errors.Join(err, answer.Body.Close())
	if err == nil && into != nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil || answer.StatusCode >= http.StatusBadRequest {
		s.t.Fatalf("%s %s: %d, %v: %s", method, url, answer.StatusCode, err, text)
	}
}

// calls counts the calls since forgetCalls, by service and operation.
func (s *simulator) calls() map[string]int {
	s.t.Helper()
	sum := map[string]int{}
	for i := range s.regions {
		var calls map[string]int
		s.ask(http.MethodGet, "/sim/calls", i, nil, &calls)
		for what, n := range calls {
			sum[what] += n
		}
	}
	return sum
}

func (s *simulator) forgetCalls() {
	s.t.Helper()
	for i := range s.regions {
		s.ask(http.MethodDelete, "/sim/calls", i, nil, nil)
	}
}

// fault puts a fault into the first region.
func (s *simulator) fault(f sim.Fault) {
	s.t.Helper()
	s.ask(http.MethodPost, "/sim/faults", 0, f, nil)
}

// count is how many servers there are.
func (s *simulator) count() int {
	s.t.Helper()
	var n int
	s.ask(http.MethodGet, "/bench/count", 0, nil, &n)
	return n
}

// deletes is when each server was first asked to be deleted.
func (s *simulator) deletes() map[string]time.Time {
	s.t.Helper()
	var asked map[string]time.Time
	s.ask(http.MethodGet, "/bench/deletes", 0, nil, &asked)
	return asked
}

// answers counts the answers by status.
func (s *simulator) answers() map[int]int {
	s.t.Helper()
	var n map[int]int
	s.ask(http.MethodGet, "/bench/answers", 0, nil, &n)
	return n
}

// quiet is a test that does not log what it waited for.
type quiet struct{ testing.TB }

func (quiet) Logf(string, ...any) {}
