//go:build chaos || lab

package chaos

import (
	"context"
	"encoding/json"
	"errors"
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
	"poold/store/kv"
	"poold/store/kv/etcdkv"
	"poold/test/demo"
	"poold/test/proc"
)

const (
	// settleLimit is within which records and clouds agree once nobody dies
	// any more. It is as long as poold may take to find and remove a leak, of
	// which those of images are looked for every ten minutes.
	settleLimit = 25 * time.Minute
	// calm is how long nothing is wrong between two faults, at most.
	calm = 3 * time.Second
	// faultLasts is how long a fault lasts, at most.
	faultLasts = 8 * time.Second
)

// Options say what a storm is like.
type Options struct {
	Seed uint64
	// Poold is the binary, and Offsets by how much the clocks of the peers are
	// wrong in the beginning.
	Poold   string
	Offsets []time.Duration
	// Askers is how many clients ask at once, and Most for how many nodes each.
	Askers, Most int
	// Lease is how long a client's nodes outlive it, Hold how long it keeps them
	// at most, and Patience how long it waits for them.
	Lease, Hold, Patience time.Duration

	// Services are the ports of the clouds' services, and at which addresses they
	// are. Each peer has a door with these ports to the clouds.
	Services map[int]string
	// Files are what a peer reads whose door to the clouds has an address.
	Files func(clouds string) Files
	// Secret is a password that nobody may read (I10).
	Secret string
	// Limits is how many nodes each provider may have (I5), and PerSecond how many
	// calls to each service of its rate group, which has its name (I6).
	Limits    map[string]int
	PerSecond float64
	// Servers are all servers of each provider, as the clouds know them.
	Servers func(ctx context.Context) (map[string][]demo.Server, error)
	// Doubled lists the batches that the clouds were asked for more than once
	// (I7).
	Doubled func() []string
}

// Label is what clients ask for: files have it.
const Label = "small"

// answered is one answer of a request.
type answered struct {
	outcome
	asked, at time.Time
	// slots are the nodes and the addresses that it has. It was begun to give them
	// back at back; gone is zero if nobody knows whether that was done.
	slots      []string
	back, gone time.Time
}

// Storm is a site that faults strike while clients ask. Its methods may be called
// from the goroutine of the test only.
type Storm struct {
	*spread

	random   *rand.Rand
	recorder *recorder
	db       kv.KV
	ci       *client.Client
	faults   map[string]fault
	// more judges what the others do not.
	more   func(history []event, left map[string][]call) []string
	counts map[string]int
	// together is how often two faults struck at once.
	together int

	mu      sync.Mutex // guards what follows
	answers []answered
	unasked int
}

// Seed is that of CHAOS_SEED, or a new one.
func Seed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("CHAOS_SEED")
	if text == "" {
		return rand.Uint64() //nolint:gosec // a seed
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

// NewStorm starts three etcd and three poold over a network.
func NewStorm(t *testing.T, n *Network, o *Options) *Storm {
	t.Helper()
	random := rand.New(rand.NewPCG(o.Seed, 0)) //nolint:gosec // to be drawn again
	s := &Storm{spread: newSpread(t, n, o), random: random, counts: map[string]int{}}
	s.faults = s.usualFaults()
	s.more = func([]event, map[string][]call) []string { return nil }
	s.recorder = record(t, s.etcd.Endpoints()...)
	db, err := etcdkv.Open(t.Context(), etcdkv.Config{Endpoints: s.etcd.Endpoints()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // etcd goes, too
	s.db = db
	if s.ci, err = client.New(db, "", "ci"); err != nil {
		t.Fatal(err)
	}
	return s
}

// Ask has clients ask for nodes until stop, which returns when everybody is
// answered.
func (s *Storm) Ask() (stop func()) {
	ctx, over := s.t.Context(), make(chan struct{})
	var asking sync.WaitGroup
	for i := range s.options.Askers {
		random := rand.New(rand.NewPCG(s.options.Seed, uint64(i+1))) //nolint:gosec // to be drawn again
		asking.Go(func() {
			for n := 0; !isClosed(over); n++ {
				s.ask(ctx, fmt.Sprintf("%d-%d", i, n), random)
			}
		})
	}
	return func() {
		close(over)
		asking.Wait()
	}
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
func (s *Storm) ask(ctx context.Context, id string, random *rand.Rand) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.options.Patience, fmt.Errorf("not answered within %v", s.options.Patience))
	defer cancel()
	want := pool.Request{Labels: slices.Repeat([]string{Label}, 1+random.IntN(s.options.Most))}
	hold := time.Duration(random.Int64N(int64(s.options.Hold)))
	asked := time.Now()
	bounded, stop := context.WithTimeout(ctx, 10*time.Second)
	r, err := s.ci.Create(bounded, id, want, s.options.Lease)
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
func (s *Storm) heed(ctx context.Context, r *client.Request, o answered, use func(a *pool.Allocation)) {
	a, err := r.Wait(ctx)
	o.at = time.Now()
	switch {
	case err != nil:
		o.err = err
	case a.State != pool.AllocationFulfilled:
		o.err = fmt.Errorf("%s: %s", a.State, a.Error)
	default:
		o.err = s.reached(ctx, a)
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
// (I9). The request stands meanwhile, so that the clouds may take their time.
func (s *Storm) reached(ctx context.Context, a *pool.Allocation) error {
	servers, err := s.options.Servers(ctx)
	for ; err != nil; servers, err = s.options.Servers(ctx) {
		if ctx.Err() != nil {
			return err
		}
		time.Sleep(time.Second)
	}
	for _, n := range a.Nodes {
		active := func(v demo.Server) bool {
			at := slices.ContainsFunc(v.Addresses, func(at demo.Address) bool { return at.IP == n.InterfaceIP })
			return at && v.Status == "ACTIVE" && v.Task == ""
		}
		if !slices.ContainsFunc(servers[n.Provider], active) {
			return fmt.Errorf("node %s at %q is no active server of %s", n.ID, n.InterfaceIP, n.Provider)
		}
	}
	return nil
}

// Strike makes one fault after the other, and every third time two at once.
func (s *Storm) Strike(lasts time.Duration) {
	s.t.Helper()
	names := slices.Sorted(maps.Keys(s.faults))
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
			heals = append(heals, s.faults[name](victim))
		}
		time.Sleep(length)
		if err := joined(heals...)(); err != nil {
			s.t.Fatalf("%v is not over: %v", struck, err)
		}
	}
}

// seen are the problems of what the clients saw.
func (s *Storm) seen() []string {
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

// Judge waits until nothing is on its way any more, and judges.
func (s *Storm) Judge() {
	s.t.Helper()
	var revision int64
	s.Await("records and clouds agree", settleLimit, func() (string, bool) {
		n, at, err := s.recorder.records(s.t.Context())
		var servers map[string][]demo.Server
		if err == nil {
			servers, err = s.options.Servers(s.t.Context())
		}
		if err != nil {
			return err.Error(), false
		}
		n.servers, revision = slices.Concat(slices.Collect(maps.Values(servers))...), at
		left := n.unsettled()
		return strings.Join(left, "\n"), len(left) == 0
	})
	var history []event
	proc.Await(s.t, "the history is complete", time.Minute, func() (string, bool) {
		var done bool
		var err error
		if history, done, err = s.recorder.upTo(s.t.Context(), revision); err != nil {
			s.t.Fatal(err)
		}
		return "", done
	})
	logs := s.logs()
	left := s.left(logs)
	tooMany, fullest := exceeded(left, s.options.PerSecond)
	problems := slices.Concat(verdict(history, s.options.Limits), s.seen(), s.options.Doubled(), tooMany, s.more(history, left),
		revealed(s.options.Secret, history, logs))
	for _, p := range problems {
		s.t.Error(p)
	}
	s.t.Logf("the fullest limit let through %s", fullest)
	s.report(len(problems), len(history))
}

// left are the calls that left the limiters of all peers, by limit (I6).
func (s *Storm) left(logs map[string][]byte) map[string][]call {
	s.t.Helper()
	left := map[string][]call{}
	for name, log := range logs {
		for limit, calls := range callsOf(log, s.wrong[name]) {
			left[limit] = append(left[limit], calls...)
		}
	}
	if len(left) == 0 {
		s.t.Fatal("no call left a limiter: nothing is to be judged")
	}
	return left
}

// logs are what the peers have said.
func (s *Storm) logs() map[string][]byte {
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
func (s *Storm) report(problems, events int) {
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
