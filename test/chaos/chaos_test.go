//go:build chaos

package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"poold/test/demo"
	"poold/test/proc"
)

// root is where the repository is.
const root = "../.."

// bin is the folder of the binaries, which are built once.
var bin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if bin = Inside(); bin != "" {
		return m.Run()
	}
	return proc.RunBuilt(m, &bin, "-tags", "chaos", root+"/cmd/poold", root+"/cmd/poolctl")
}

func poold() string { return filepath.Join(bin, "poold") }

// trial is a site with clients and a recorder, whose peer is killed.
type trial struct {
	*clients

	t        *testing.T
	random   *rand.Rand
	site     *demo.Site
	recorder *recorder
	peer     *proc.Process
}

// newTrial starts everything but a peer.
func newTrial(t *testing.T) *trial {
	t.Helper()
	seed := Seed(t)
	short := ""
	if testing.Short() {
		short = " -short"
	}
	t.Logf("seed %d", seed)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again:\n\tCHAOS_SEED=%d go test -tags chaos -count=1 -timeout 30m -v -run '^%s$'%s ./test/chaos",
				seed, t.Name(), short)
		}
	})
	tr := &trial{t: t, random: rand.New(rand.NewPCG(seed, 0)), site: demo.NewSite(t, poold(), root)}
	tr.clients = &clients{etcd: tr.site.Etcd.Etcd}
	tr.recorder = record(t, tr.site.Etcd.Etcd)
	return tr
}

// jobs makes up n jobs.
func (tr *trial) jobs(n int, name string) []job {
	jobs := make([]job, n)
	for i := range jobs {
		jobs[i] = newJob(tr.random, fmt.Sprintf("%s-%d", name, i))
	}
	return jobs
}

// judge waits until nothing is on its way any more, and judges.
func (tr *trial) judge() {
	tr.t.Helper()
	needs := []*proc.Process{tr.peer, tr.site.Etcd.Process, tr.site.Clouds.Process}
	select {
	case <-tr.finished():
	case <-tr.peer.Exited():
		tr.peer.Alive() // it says how it ended
	}
	var revision int64
	proc.Await(tr.t, "records and clouds agree", settleLimit, func() (string, bool) {
		n, at, err := tr.look()
		if err != nil {
			return err.Error(), false
		}
		revision = at
		left := n.unsettled()
		ready := map[string]int{}
		for _, r := range n.nodes {
			if r.State == "ready" {
				ready[r.Label]++
			}
		}
		return fmt.Sprintf("ready %v, unsettled:\n%s", ready, strings.Join(left, "\n")),
			len(left) == 0 && ready[demo.Small] >= demo.SmallReady && ready[demo.Large] >= demo.LargeReady
	}, needs...)
	var history []event
	proc.Await(tr.t, "the history is complete", time.Minute, func() (string, bool) {
		var done bool
		var err error
		if history, done, err = tr.recorder.upTo(tr.t.Context(), revision); err != nil {
			tr.t.Fatal(err)
		}
		return "", done
	})
	problems := append(verdict(history, nil), lost(tr.outcomes)...)
	for _, p := range problems {
		tr.t.Error(p)
	}
	nodes := 0
	for _, o := range tr.outcomes {
		nodes += len(o.nodes)
	}
	tr.t.Logf("%d requests, %d nodes given, worst answer after %.1f s, %d events judged",
		len(tr.outcomes), nodes, tr.worst.Seconds(), len(history))
	tr.peer.Stop()
}

// look reads the records, and then asks the clouds. What changes in between
// shows as unsettled, and is looked at again.
func (tr *trial) look() (now, int64, error) {
	n, revision, err := tr.recorder.records(tr.t.Context())
	if err != nil {
		return n, 0, err
	}
	for _, c := range tr.site.Clouds.Clouds {
		servers, err := c.Servers(tr.t.Context())
		if err != nil {
			return n, 0, err
		}
		images, err := c.Images(tr.t.Context())
		if err != nil {
			return n, 0, err
		}
		objects, err := c.Objects(tr.t.Context())
		if err != nil {
			return n, 0, err
		}
		for container, names := range objects {
			for _, name := range names {
				n.objects = append(n.objects, container+"/"+name)
			}
		}
		n.servers, n.images = append(n.servers, servers...), append(n.images, images...)
	}
	return n, revision, nil
}

// poold may die at any moment: nothing is lost, doubled or left behind.
func TestKilledAtRandom(t *testing.T) {
	requests := 200
	if testing.Short() {
		requests = 40
	}
	tr := newTrial(t)
	tr.start(t, 10, tr.jobs(requests, "random"))
	finished := tr.finished()
	kills := 0
	for {
		tr.peer = tr.site.Run(poold())
		life := time.NewTimer(500*time.Millisecond + time.Duration(tr.random.Int64N(int64(12*time.Second))))
		select {
		case <-finished:
			life.Stop()
			t.Logf("%d kills", kills)
			tr.judge()
			return
		case <-tr.peer.Exited():
			tr.peer.Alive() // it says how it ended
		case <-life.C:
			tr.peer.Kill()
			kills++
		}
	}
}
