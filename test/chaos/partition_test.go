//go:build chaos

package chaos

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"poold/test/proc"
)

var (
	lasts = flag.Duration("for", time.Minute, "how long TestPartitions makes faults")
	plant = flag.Bool("plant", false, "plant a bug that the judge must find")
)

// wrongClock is by how much the clocks of two peers are wrong, one each way.
const wrongClock = 10 * time.Minute

// Three etcd and three poold over a network, with clouds and clients: whatever
// dies, freezes or is cut off, nothing is lost, doubled or left behind, and
// everything goes on when it is over.
func TestPartitions(t *testing.T) {
	if !InNetwork(t, bin, "-for", lasts.String(), "-plant="+strconv.FormatBool(*plant)) {
		return
	}
	seed := Seed(t)
	t.Logf("seed %d: again with CHAOS_SEED=%d go test -tags chaos -count=1 -v -run '^TestPartitions$' ./test/chaos -for %v", seed, seed, *lasts)
	if err := proc.BuildWithClock(t.Context(), bin, "-tags", "chaos", root+"/cmd/poold"); err != nil {
		t.Fatal(err)
	}
	n := NewNetwork(t)
	clouds := newClouds(t, n)
	limits := map[string]int{}
	for i := range regions {
		limits[fmt.Sprintf("p%d", i)] = most
	}
	s := NewStorm(t, n, &Options{
		Seed: seed, Poold: poold(), Offsets: []time.Duration{0, wrongClock, -wrongClock},
		Askers: 6, Most: 3, Lease: leaseLife, Hold: time.Second, Patience: answerLimit,
		Services: map[int]string{5000: n.ip + ":5000"}, Files: cloudFiles, Secret: cloudLogin, Limits: limits, PerSecond: perSecond,
		Servers: clouds.servers, Doubled: clouds.launches.doubled,
	})
	maps.Copy(s.faults, clouds.faults())
	s.faults["poold started with another clock"] = func(i int) func() error {
		s.peers[i].Kill()
		s.offsets[i] = wrongClock * time.Duration(s.random.IntN(3)-1)
		return func() error { s.startPeer(i); return nil }
	}
	s.more = func(history []event, left map[string][]call) []string {
		return slices.Concat(clouds.touched(history), clouds.crowded(t, left), astray(history))
	}
	stop := s.Ask()
	s.Strike(*lasts)
	if *plant {
		s.plantBugs(clouds)
	}
	// With nothing wrong any more everybody is answered.
	stop()
	s.Judge()
}
