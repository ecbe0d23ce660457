//go:build chaos

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"poold/client"
	"poold/pool"
	"poold/store/kv/etcdkv"
	"poold/test/proc"
)

var (
	lasts = flag.Duration("for", time.Minute, "how long TestPartitions makes faults")
	plant = flag.Bool("plant", false, "plant a bug that the judge must find")
)

const (
	// askers is how many clients ask at once.
	askers = 6
	// calm is how long nothing is wrong between two faults, at most.
	calm = 3 * time.Second
	// faultLasts is how long a fault lasts, at most.
	faultLasts = 8 * time.Second
)

// answered is one answer of a request.
type answered struct {
	outcome
	asked, at time.Time
	// slots are the nodes and the addresses that it has. It was begun to give them
	// back at back; gone is zero if nobody knows whether that was done.
	slots      []string
	back, gone time.Time
}

// storm is a site that faults strike while clients ask.
type storm struct {
	*spread

	random   *rand.Rand
	recorder *recorder
	counts   map[string]int
	// together is how often two faults struck at once.
	together int

	mu      sync.Mutex // guards what follows
	answers []answered
	unasked int
}

// Three etcd and three poold over a network, with clouds and clients: whatever
// dies, freezes or is cut off, nothing is lost, doubled or left behind, and
// everything goes on when it is over.
func TestPartitions(t *testing.T) {
	if !inNetwork(t) {
		return
	}
	seed := rand.Uint64()
	if text := os.Getenv("CHAOS_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d: again with CHAOS_SEED=%d go test -tags chaos -count=1 -v -run '^TestPartitions$' ./test/chaos -for %v", seed, seed, *lasts)
	s := &storm{spread: newSpread(t), random: rand.New(rand.NewPCG(seed, 0)), counts: map[string]int{}}
	s.recorder = record(t, s.etcd.Endpoints()...)
	db, err := etcdkv.Open(t.Context(), etcdkv.Config{Endpoints: s.etcd.Endpoints()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // etcd goes, too
	ci, err := client.New(db, "", "ci")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	var asking sync.WaitGroup
	for i := range askers {
		random := rand.New(rand.NewPCG(seed, uint64(i+1)))
		asking.Go(func() {
			for n := 0; !isClosed(over); n++ {
				s.ask(t.Context(), ci, fmt.Sprintf("%d-%d", i, n), random)
			}
		})
	}
	s.strike(*lasts)
	if *plant {
		s.plantBugs(db, ci)
	}
	// With nothing wrong any more everybody is answered.
	close(over)
	asking.Wait()
	s.judge()
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// ask asks for nodes, looks whether they are there, keeps them for a moment and
// gives them back.
func (s *storm) ask(ctx context.Context, ci *client.Client, id string, random *rand.Rand) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerLimit, fmt.Errorf("not answered within %v", answerLimit))
	defer cancel()
	want := pool.Request{Labels: slices.Repeat([]string{label}, 1+random.IntN(3))}
	hold := time.Duration(random.Int64N(int64(time.Second)))
	asked := time.Now()
	bounded, stop := context.WithTimeout(ctx, 10*time.Second)
	r, err := ci.Create(bounded, id, want, leaseLife)
	stop()
	if err != nil {
		// etcd is away: nobody knows whether it was asked, and its lease dies.
		s.mu.Lock()
		s.unasked++
		s.mu.Unlock()
		time.Sleep(100 * time.Millisecond)
		return
	}
	s.heed(ctx, r, answered{outcome: outcome{name: id}, asked: asked}, func(*pool.Allocation) {
		holding := time.NewTimer(hold)
		defer holding.Stop()
		select {
		case <-holding.C:
		case <-r.Lost():
		}
	})
}

// heed waits for the answer to a request, uses what it has, and gives it back.
func (s *storm) heed(ctx context.Context, r *client.Request, o answered, use func(a *pool.Allocation)) {
	a, err := r.Wait(ctx)
	o.at = time.Now()
	switch {
	case err != nil:
		o.err = err
	case a.State != pool.AllocationFulfilled:
		o.err = fmt.Errorf("%s: %s", a.State, a.Error)
	default:
		o.err = s.reached(a)
		for _, n := range a.Nodes {
			o.nodes = append(o.nodes, string(n.ID))
			o.slots = append(o.slots, "node "+string(n.ID), "address "+n.Provider+" "+n.InterfaceIP)
		}
		use(a)
	}
	o.back = time.Now()
	if r.Close(ctx) == nil { // or the lease dies
		o.gone = time.Now()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers = append(s.answers, o)
}

// reached checks that there is an active server at each address that was given
// (I9).
func (s *storm) reached(a *pool.Allocation) error {
	active := map[string]bool{}
	for _, server := range s.servers() {
		for _, at := range server.Addresses {
			active[at.IP] = server.Status == "ACTIVE" && server.Task == ""
		}
	}
	for _, n := range a.Nodes {
		if !active[n.InterfaceIP] {
			return fmt.Errorf("node %s at %q is no active server", n.ID, n.InterfaceIP)
		}
	}
	return nil
}

// strike makes one fault after the other, and every third time two at once.
func (s *storm) strike(lasts time.Duration) {
	s.t.Helper()
	faults := s.faults()
	names := slices.Sorted(maps.Keys(faults))
	// Each kind comes before one comes again.
	var order []string
	for until := time.Now().Add(lasts); time.Now().Before(until); {
		if len(order) == 0 {
			order = slices.Clone(names)
			s.random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		}
		struck := order[:1]
		order = order[1:]
		if s.random.IntN(3) == 0 {
			if at := slices.IndexFunc(order, func(o string) bool { return side(o) != side(struck[0]) }); at >= 0 {
				struck = []string{struck[0], order[at]}
				order = slices.Delete(order, at, at+1)
			}
		}
		time.Sleep(time.Duration(s.random.Int64N(int64(calm))))
		length := time.Duration(s.random.Int64N(int64(faultLasts)))
		s.together += len(struck) - 1
		var heals []func() error
		for _, name := range struck {
			victim := s.random.IntN(members)
			s.counts[name]++
			s.t.Logf("%s %d for %v", name, victim, length)
			heals = append(heals, faults[name](victim))
		}
		time.Sleep(length)
		if err := joined(heals...)(); err != nil {
			s.t.Fatalf("%v is not over: %v", struck, err)
		}
	}
}

// seen are the problems of what the clients saw.
func (s *storm) seen() []string {
	var outcomes []outcome
	var slots []held
	for i := range s.answers {
		a := &s.answers[i]
		outcomes = append(outcomes, a.outcome)
		for _, slot := range a.slots {
			slots = append(slots, held{slot: slot, who: a.name, asked: a.asked, answered: a.at, back: a.back, gone: a.gone})
		}
	}
	return append(lost(outcomes), shared(slots)...)
}

// judge waits until nothing is on its way any more, and judges.
func (s *storm) judge() {
	s.t.Helper()
	var revision int64
	proc.Await(s.t, "records and clouds agree", settleLimit, func() (string, bool) {
		n, at, err := s.recorder.records(s.t.Context())
		if err != nil {
			return err.Error(), false
		}
		n.servers, revision = s.servers(), at
		left := n.unsettled()
		return strings.Join(left, "\n"), len(left) == 0
	}, s.peers...)
	var history []event
	proc.Await(s.t, "the history is complete", time.Minute, func() (string, bool) {
		var done bool
		var err error
		if history, done, err = s.recorder.upTo(s.t.Context(), revision); err != nil {
			s.t.Fatal(err)
		}
		return "", done
	})
	limits := map[string]int{}
	for i := range regions {
		limits[fmt.Sprintf("p%d", i)] = most
	}
	logs := s.logs()
	tooMany, fullest := s.calls(logs)
	problems := slices.Concat(verdict(history, limits), s.seen(), s.launches.doubled(), s.touched(), tooMany, astray(history),
		revealed(cloudLogin, history, logs))
	for _, p := range problems {
		s.t.Error(p)
	}
	s.t.Logf("the fullest limit let through %s", fullest)
	s.report(len(problems), len(history))
}

// logs are what the peers have said.
func (s *storm) logs() map[string][]byte {
	s.t.Helper()
	names, err := filepath.Glob(filepath.Join(s.dir, "poold-*.log"))
	if err != nil || len(names) < members {
		s.t.Fatalf("the logs of %d peers are %q: %v", members, names, err)
	}
	logs := map[string][]byte{}
	for _, name := range names {
		if logs[filepath.Base(name)], err = os.ReadFile(name); err != nil {
			s.t.Fatal(err)
		}
	}
	return logs
}

// report prints what was done.
func (s *storm) report(problems, events int) {
	nodes, worst := 0, time.Duration(0)
	var at []time.Time
	for i := range s.answers {
		nodes += len(s.answers[i].nodes)
		worst = max(worst, s.answers[i].at.Sub(s.answers[i].asked))
		at = append(at, s.answers[i].at)
	}
	slices.SortFunc(at, time.Time.Compare)
	pause := time.Duration(0)
	for i := 1; i < len(at); i++ {
		pause = max(pause, at[i].Sub(at[i-1]))
	}
	faults := 0
	for _, n := range s.counts {
		faults += n
	}
	kinds, err := json.Marshal(s.counts)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Logf("%d requests answered with %d nodes, %d not asked because etcd was away, %d events judged; %d faults, %d times two at once: %s; "+
		"violations %d; worst answer after %.1f s, longest pause of service %.1f s",
		len(s.answers), nodes, s.unasked, events, faults, s.together, kinds, problems, worst.Seconds(), pause.Seconds())
}

// joined does all, and joins the errors.
func joined(all ...func() error) func() error {
	return func() error {
		var err error
		for _, do := range all {
			err = errors.Join(err, do())
		}
		return err
	}
}
