//go:build chaos

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"poold/cloud/sim"
	"poold/cloud/sim/openstackapi"
	"poold/test/demo"
)

const (
	// regions is how many providers there are, and most how many nodes each may
	// have.
	regions = 3
	most    = 8
	// cloudLogin is the password of the simulated clouds.
	cloudLogin = "word-that-nobody-may-read"
	// perSecond is how many calls a second each group of providers may make: few
	// enough that they wait for their turn most of the time.
	perSecond = 10
)

// clouds are simulated ones beside the test.
type clouds struct {
	sims     []*sim.Cloud
	launches *launches
	gate     *gate
	alien    []stranger
}

// newClouds serves the clouds at the address of the test.
func newClouds(t *testing.T, n *Network) *clouds {
	t.Helper()
	s := &clouds{}
	for i := range regions {
		const ms = time.Millisecond
		s.sims = append(s.sims, sim.New(sim.Config{
			Name: "chaos", Region: fmt.Sprintf("R%d", i), Password: cloudLogin, Seed: uint64(i + 1), Images: []string{"ubuntu"}, Cells: 2,
			Fixed: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(100 + i)}), 16),
			Build: sim.Dist{Min: 200 * ms, Mean: 500 * ms, Max: 2000 * ms}, Delete: sim.Dist{Min: 100 * ms, Mean: 300 * ms, Max: 1000 * ms},
			Latency: sim.Dist{Min: 2 * ms, Mean: 10 * ms, Max: 100 * ms},
		}, time.Now()))
	}
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", n.ip+":5000")
	if err != nil {
		t.Fatal(err)
	}
	s.alien = s.strangers(t)
	s.gate = &gate{next: openstackapi.New(time.Now, s.sims...), came: map[string][]time.Time{}}
	s.launches = &launches{next: s.gate, names: map[string]int{}}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var done sync.WaitGroup
	done.Go(func() { _ = openstackapi.Serve(ctx, l, s.launches) }) // it ends with the test
	t.Cleanup(func() {
		cancel()
		done.Wait()
	})
	return s
}

// launches notes by name what is asked to be launched. What the cloud refused
// for its token was not: it is asked again with another.
type launches struct {
	next http.Handler

	mu    sync.Mutex // guards names
	names map[string]int
}

func (l *launches) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/servers") {
		text, err := io.ReadAll(r.Body)
		var asked struct{ Server struct{ Name string } }
		if err = errors.Join(err, json.Unmarshal(text, &asked)); err == nil {
			o := &observed{ResponseWriter: w}
			w = o
			defer l.note(asked.Server.Name, o) // also when the connection is cut
		}
		r.Body = io.NopCloser(bytes.NewReader(text))
	}
	l.next.ServeHTTP(w, r)
}

// note counts a launch that was answered, or not.
func (l *launches) note(name string, o *observed) {
	if o.status == http.StatusUnauthorized {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names[name]++
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

// doubled lists the batches that were asked for more than once (I7).
func (l *launches) doubled() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for name, n := range l.names {
		if n > 1 {
			all = append(all, fmt.Sprintf("batch %s was asked for %d times", name, n))
		}
	}
	return all
}

// cloudFiles are what a peer reads that reaches the clouds at an address.
func cloudFiles(ip string) Files {
	var b strings.Builder
	fmt.Fprintf(&b, "labels:\n  - {name: %s, min-ready: 3}\nproviders:\n", Label)
	for p := range regions {
		fmt.Fprintf(&b, `  - name: p%d
    cloud: chaos
    region-name: R%d
    rate-group: p%d
    rate: %v
    boot-timeout: 60
    cloud-images: [{name: ubuntu}]
    pools:
      - name: main
        max-servers: %d
        networks: [private]
        auto-floating-ip: false
        host-key-checking: false
        labels: [{name: %s, cloud-image: ubuntu, flavor-name: small}]
`, p, p, p, 1.0/perSecond, most, Label)
	}
	return Files{Nodepool: b.String(), Clouds: fmt.Sprintf(`clouds: {chaos: {auth: {auth_url: "http://%s:5000/v3", username: ci, password: %s, project_name: ci,
  user_domain_name: Default, project_domain_name: Default}}}`, ip, cloudLogin)}
}

// servers are all servers of each provider, as the clouds know them, but the
// strangers.
func (s *clouds) servers(context.Context) (map[string][]demo.Server, error) {
	all := map[string][]demo.Server{}
	for i, c := range s.sims {
		name := fmt.Sprintf("p%d", i)
		for _, v := range c.Truth(time.Now()) {
			if slices.ContainsFunc(s.alien, func(a stranger) bool { return a.id == v.ID }) {
				continue
			}
			d := demo.Server{ID: v.ID, Name: v.Name, Status: v.Status, Task: v.Task}
			for _, a := range v.Addresses {
				d.Addresses = append(d.Addresses, demo.Address{IP: a.IP})
			}
			all[name] = append(all[name], d)
		}
	}
	return all, nil
}

// faults are those of clouds.
func (s *clouds) faults() map[string]fault {
	return map[string]fault{
		"429 storm":           s.fault(sim.Fault{Kind: sim.FaultStatus, Status: http.StatusTooManyRequests, RetryAfter: time.Second}),
		"cloud away":          s.fault(sim.Fault{Kind: sim.FaultCut}),
		"replies lost":        s.fault(sim.Fault{Kind: sim.FaultLostReply, Percent: 50}),
		"cloud slow":          s.fault(sim.Fault{Kind: sim.FaultSlow, Delay: 3 * time.Second}),
		"cell gone from view": s.fault(sim.Fault{Kind: sim.FaultCellDown, Cell: 1}),
		"tokens revoked":      s.fault(sim.Fault{Kind: sim.FaultRevoke, Percent: 10}),
	}
}

// fault is one of one cloud.
func (s *clouds) fault(f sim.Fault) fault {
	return func(i int) func() error {
		s.sims[i%regions].AddFault(f)
		return func() error {
			s.sims[i%regions].ClearFaults()
			return nil
		}
	}
}
