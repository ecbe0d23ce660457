package builder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poold/internal/recordtest"
	"poold/pool"
)

// staged is a build command in stages. At the one that DIE names it leaves a
// process behind and kills its builder.
const staged = `
die() {
	[ "$DIE" = "$1" ] || return 0
	setsid sleep 1000 & echo $! > "$DYING/pid"
	kill -9 $PPID
	sleep 1000
}
die begun
while [ $# -gt 0 ]; do case $1 in -o) out=$2; shift;; esac; shift; done
mkdir -p "$TMP_DIR/deep"; echo half > "$out.qcow2"
die half
echo "data of $out" > "$out.qcow2"; echo x > "$out.qcow2.md5"
echo "data of $out" > "$out.raw"; echo x > "$out.raw.md5"
die done
`

// dying names, in the environment of a test run by a test, the directory of what
// outlives it.
const dying = "DYING"

// remains are what outlives a builder that is killed: what it was configured with,
// and the records.
type remains struct {
	Dirs     Dirs
	Image    pool.Image
	Builds   []*pool.Build
	Commands []*pool.Command
}

func (r *remains) path(dir string) string { return filepath.Join(dir, "remains.json") }

func (r *remains) save(t *testing.T, dir string) {
	t.Helper()
	data, err := json.Marshal(r)
	if err = errors.Join(err, os.WriteFile(r.path(dir)+".new", data, 0o600), os.Rename(r.path(dir)+".new", r.path(dir))); err != nil {
		t.Fatal(err)
	}
}

func (r *remains) load(t *testing.T, dir string) {
	t.Helper()
	data, err := os.ReadFile(r.path(dir))
	if err = errors.Join(err, json.Unmarshal(data, r)); err != nil {
		t.Fatal(err)
	}
}

// mortal is a store whose process is killed at one of its writes.
type mortal struct {
	*recordtest.Store

	save   func()
	writes int
}

// Apply makes the write, if it gets there.
func (m *mortal) Apply(ctx context.Context, w pool.Write) (int64, error) {
	m.writes++
	m.reach("before write")
	revision, err := m.Store.Apply(ctx, w)
	m.save()
	m.reach("after write")
	return revision, err
}

func (m *mortal) reach(point string) {
	if os.Getenv("DIE") == fmt.Sprint(point, " ", m.writes) {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // it may take a moment
	}
}

// buildAndDie builds, deletes the build, and builds again, until it is killed.
func buildAndDie(t *testing.T, dir string) {
	t.Helper()
	var r remains
	r.load(t, dir)
	h := &bench{t: t, store: recordtest.New(), dirs: r.Dirs, image: r.Image, now: t0, shop: NewShop(1)}
	b := h.builder()
	save := func() {
		s := h.store.Snapshot()
		r.Builds, r.Commands = s.Builds, s.Commands
		r.save(t, dir)
	}
	b.store = &mortal{Store: h.store, save: save}
	h.settle(b)
	built := h.store.Snapshot().Builds[0]
	h.store.Edit(func() {
		h.store.Commands = []*pool.Command{{ID: "c", Verb: pool.VerbDeleteBuild, Target: built.Image + "/" + built.ID, By: "ann"}}
	})
	save()
	h.now = h.now.Add(time.Minute)
	h.settle(b)
}

// A builder that is killed at any point leaves what the next one cleans up, and
// goes on from: in the end there is one build, whole, and nothing else.
func TestKilledAnywhere(t *testing.T) {
	if dir := os.Getenv(dying); dir != "" {
		buildAndDie(t, dir)
		return
	}
	points := []string{"begun", "half", "done"}
	for write := 1; write <= 6; write++ {
		points = append(points, fmt.Sprint("before write ", write), fmt.Sprint("after write ", write))
	}
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			h, dir := newBench(t, staged), t.TempDir()
			h.image.Name = fmt.Sprint("killed-", os.Getpid()) // its cgroup is nobody else's
			r := remains{Dirs: h.dirs, Image: h.image}
			r.save(t, dir)
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledAnywhere$")
			child.Env = append(os.Environ(), dying+"="+dir, "DIE="+point, "TMPDIR="+t.TempDir())
			if out, err := child.CombinedOutput(); err == nil || child.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("it was not killed: %v\n%s", err, out)
			}
			r.load(t, dir)
			h.store.Edit(func() { h.store.Builds, h.store.Commands = r.Builds, r.Commands })
			h.now = h.now.Add(time.Hour)
			h.settle(h.builder())
			h.now = h.now.Add(time.Hour) // a build that failed is tried again
			h.settle(h.builder())
			h.wantOneBuild()
			if pids := filepath.Join(dir, "pid"); slices.Contains([]string{"begun", "half", "done"}, point) {
				waitGone(t, pidIn(t, pids))
			}
		})
	}
}

// wantOneBuild checks that one build is ready, with its files and no others, and
// that all else ended.
func (h *bench) wantOneBuild() {
	h.t.Helper()
	s := h.store.Snapshot()
	var want []string
	for i, b := range s.BuildsOf(h.image.Name) {
		switch {
		case b.State == pool.BuildReady && i == 0:
			for _, a := range b.Artifacts {
				want = append(want, filepath.Base(a.Path), filepath.Base(a.Path)+".md5")
				if data, err := os.ReadFile(a.Path); err != nil || a.SHA512 != sum512(data) {
					h.t.Errorf("%s is not what the record says: %v", a.Path, err)
				}
			}
		case b.State == pool.BuildFailed && b.Error == "builder restarted", b.State == pool.BuildDeleted:
		default:
			h.t.Errorf("build %d of %v: %s", i, h.states(), b.Error)
		}
	}
	slices.Sort(want)
	if d := cmp.Diff(want, h.ls()); d != "" || len(want) != 4 {
		h.t.Errorf("files of %v: %s", h.states(), d)
	}
	for _, c := range s.Commands {
		if !c.Done || c.Error != "" {
			h.t.Errorf("the command is %+v", c)
		}
	}
}

// A store that is away, or whose answers are lost, while a build ends changes
// nothing of how it ends: the command is run once, and its end is on record when
// the store is back.
func TestStoreAwayWhileBuilding(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err     error
		applied bool
		exit    string
		want    pool.BuildState
	}{
		"away":                   {pool.ErrUnavailable, false, "0", pool.BuildReady},
		"away, it fails":         {pool.ErrUnavailable, false, "7", pool.BuildFailed},
		"the answer is lost":     {pool.ErrUnknown, true, "0", pool.BuildReady},
		"the request is lost":    {pool.ErrUnknown, false, "0", pool.BuildReady},
		"the answer of a failed": {pool.ErrUnknown, true, "7", pool.BuildFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			h := newBench(t, `echo run >> "$DIR/runs"; while [ ! -e "$DIR/go" ]; do sleep 0.05; done`+"\n"+produce+`exit $EXIT`)
			h.image.Env["DIR"], h.image.Env["EXIT"] = dir, c.exit
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			b := h.builder()
			go func() { ended <- b.Run(ctx) }()
			waitFile(t, filepath.Join(dir, "runs"))
			refused := make(chan struct{}, 100)
			h.store.Edit(func() {
				h.store.Fail = func(pool.Write) (error, bool) {
					refused <- struct{}{}
					return c.err, c.applied
				}
			})
			if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				select {
				case <-refused:
				case err := <-ended:
					t.Fatalf("Run ended with %v", err)
				}
			}
			h.store.Edit(func() { h.store.Fail = nil })
			for changed := h.store.Changed(); h.states()[0] == string(pool.BuildBuilding); changed = h.store.Changed() {
				select {
				case <-changed:
				case err := <-ended:
					t.Fatalf("Run ended with %v", err)
				}
			}
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("Run returned %v", err)
			}
			got := h.store.Snapshot().Builds
			if len(got) != 1 || got[0].State != c.want || strings.Contains(got[0].Error, "exit status 7") != (c.want == pool.BuildFailed) {
				t.Errorf("got %v, %s", h.states(), got[0].Error)
			}
			if runs, err := os.ReadFile(filepath.Join(dir, "runs")); err != nil || string(runs) != "run\n" {
				t.Errorf("the command was run as often as %q says, %v", runs, err)
			}
		})
	}
}

// A build of which it is not known whether its record was written is not run: the
// record ends, and the next one is.
func TestBeginsOnlyWhatIsOnRecord(t *testing.T) {
	h := newBench(t, `echo run >> "$RUNS"`+"\n"+produce)
	runs := filepath.Join(t.TempDir(), "runs")
	h.image.Env["RUNS"] = runs
	lost := true
	h.store.Fail = func(pool.Write) (error, bool) {
		if lost {
			lost = false
			return pool.ErrUnknown, true
		}
		return nil, false
	}
	b := h.builder()
	h.settle(b)
	if d := cmp.Diff([]string{"failed"}, h.states()); d != "" || h.store.Snapshot().Builds[0].Error != "builder restarted" {
		t.Errorf("%s: %s", d, h.store.Snapshot().Builds[0].Error)
	}
	if _, err := os.Stat(runs); err == nil {
		t.Error("it was run")
	}
	h.now = h.now.Add(2 * time.Minute)
	h.settle(b)
	if d := cmp.Diff([]string{"ready", "failed"}, h.states()); d != "" {
		t.Error(d)
	}
}
