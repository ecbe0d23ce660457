package builder

import (
	"context"
	"crypto/rand"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap/zaptest"

	"poold/internal/recordtest"
	"poold/pool"
)

// produce is the start of a build command: it takes the arguments and writes
// every format.
const produce = `
echo "args: $*" ; env | grep -E '^(DIB_|ELEMENTS_PATH|TMP_DIR|POOLD)' | sort
while [ $# -gt 0 ]; do case $1 in -t) types=$2; shift;; -o) out=$2; shift;; esac; shift; done
touch "$TMP_DIR/scratch"
for t in $(echo $types | tr , ' '); do echo "data of $t" > "$out.$t"; echo x > "$out.$t.md5"; done
`

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

type bench struct {
	t     *testing.T
	store *recordtest.Store
	dirs  Dirs
	image pool.Image
	now   time.Time
	// clock is what the time is for builders that run, nil for the machine's.
	clock func() time.Time
	shop  *Shop
}

func newBench(t *testing.T, script string) *bench {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "make-it")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return &bench{
		t: t, store: recordtest.New(), now: t0, shop: NewShop(1),
		dirs: Dirs{
			Images: filepath.Join(dir, "images"), Elements: "/elements", Logs: filepath.Join(dir, "logs"), LogRetention: 2,
		},
		image: pool.Image{
			Name: "noble", Elements: []string{"vm", "a b"}, Formats: []string{"qcow2", "raw"}, Release: "24.04",
			Command: []string{path}, RebuildAge: 24 * time.Hour, BuildTimeout: time.Minute, Username: "ci",
			Env: map[string]string{"DIB_X": "1"},
		},
	}
}

func (h *bench) builder() *Builder {
	return New(Config{
		Image: h.image, Peer: "p1", Dirs: h.dirs, Shop: h.shop, Store: h.store,
		Random: rand.Reader, Log: zaptest.NewLogger(h.t), Registerer: prometheus.NewPedanticRegistry(), Now: h.clock,
	})
}

// settle steps until a pass writes nothing and no command runs.
func (h *bench) settle(b *Builder) {
	h.t.Helper()
	for range 50 {
		before := h.store.Snapshot().Revision
		if _, err := b.step(h.t.Context(), h.now); err != nil {
			h.t.Fatal(err)
		}
		if done := b.outcome(); done != nil {
			<-done
			b.ended = &b.work.outcome
		} else if h.store.Snapshot().Revision == before {
			return
		}
	}
	h.t.Fatalf("does not settle: %v", h.store.Moves)
}

func (h *bench) states() []string {
	var states []string
	for _, b := range h.store.Snapshot().BuildsOf(h.image.Name) {
		states = append(states, string(b.State))
	}
	return states
}

func (h *bench) ls() []string {
	entries, _ := os.ReadDir(h.dirs.Images)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// A due image is built with diskimage-builder's calling convention, and the
// record says what came out, while the temporary directory is gone.
func TestBuildsWhatIsDue(t *testing.T) {
	h := newBench(t, produce)
	h.settle(h.builder())
	s := h.store.Snapshot()
	if len(s.Builds) != 1 || s.Builds[0].State != pool.BuildReady {
		t.Fatalf("got %v, want one ready build: %s", h.states(), s.Builds[0].Error)
	}
	b := s.Builds[0]
	a := b.Artifact("raw")
	sum := sha512.Sum512([]byte("data of raw\n"))
	if a == nil || a.Bytes != 12 || a.SHA512 != hex.EncodeToString(sum[:]) || len(a.MD5) != 32 || len(a.SHA256) != 64 {
		t.Errorf("artifact %+v", a)
	}
	if b.Username != "ci" || b.Builder != "p1" || b.Log != logPath(h.dirs, "noble", b.ID) {
		t.Errorf("record %+v", b)
	}
	out := filepath.Join(h.dirs.Images, "noble-"+b.ID)
	log, err := os.ReadFile(b.Log)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"args: -x -t qcow2,raw --checksum --no-tmpfs --qemu-img-options compat=0.10 -o " + out + " vm a b\n",
		"DIB_RELEASE=24.04\n", "DIB_IMAGE_NAME=noble\n", "DIB_IMAGE_FILENAME=" + out + "\n", "DIB_X=1\n",
		"DIB_SHOW_IMAGE_USAGE=1\n", "ELEMENTS_PATH=/elements\n", "TMP_DIR=" + out + ".tmp\n",
	} {
		if !strings.Contains(string(log), want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	if want := "noble-" + b.ID; slices.Contains(h.ls(), want+".tmp") {
		t.Errorf("the temporary directory is left: %v", h.ls())
	}
}

// Builds have the time that the peers agree on, whatever the machine's clock says.
func TestBuildsAreStampedWithThePeersTime(t *testing.T) {
	h := newBench(t, produce)
	begin := time.Now()
	h.clock = func() time.Time { return t0.Add(time.Since(begin)) }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	b := h.builder()
	go func() { ended <- b.Run(ctx) }()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for changed := h.store.Changed(); !slices.Equal(h.states(), []string{string(pool.BuildReady)}); changed = h.store.Changed() {
		select {
		case <-changed:
		case <-limit.C:
			t.Fatalf("no build is ready: %v", h.states())
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	is := h.store.Snapshot().Builds[0]
	for _, e := range is.Timeline {
		if e.At.Before(t0) || e.At.After(h.clock()) {
			t.Errorf("it was %s at %v, by a clock that went from %v to %v", e.State, e.At, t0, h.clock())
		}
	}
	if is.Created.Before(t0) || is.Created.After(h.clock()) {
		t.Errorf("it was made at %v", is.Created)
	}
}

// What diskimage-builder is not asked for it does not get.
func TestNoQcow2NoOption(t *testing.T) {
	got := arguments(&pool.Image{Command: []string{"dib", "-v"}, Formats: []string{"raw"}, Elements: []string{"vm"}}, "/o")
	want := []string{"dib", "-v", "-x", "-t", "raw", "--checksum", "--no-tmpfs", "-o", "/o", "vm"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestDue(t *testing.T) {
	image := &pool.Image{Name: "i", Formats: []string{"raw"}, RebuildAge: time.Hour}
	build := func(state pool.BuildState, age time.Duration) *pool.Build {
		return &pool.Build{
			Image: "i", ID: state2id(state), State: state, Since: t0.Add(-age), Created: t0.Add(-age),
			RecipeHash: RecipeHash(image), Artifacts: []pool.Artifact{{Format: "raw"}},
		}
	}
	with := func(b *pool.Build, f func(*pool.Build)) *pool.Build { f(b); return b }
	asked := []*pool.Command{{Verb: pool.VerbBuild, Target: "i", By: "me"}}
	for _, c := range []struct {
		name     string
		image    pool.Image
		builds   []*pool.Build
		commands []*pool.Command
		want     string
		build    bool
		at       time.Time
	}{
		{name: "no build", want: "there is no ready build", build: true},
		{
			name: "a recent build", builds: []*pool.Build{build(pool.BuildReady, 59*time.Minute)},
			want: "the newest build is recent", at: t0.Add(time.Minute),
		},
		{
			name: "an old build", builds: []*pool.Build{build(pool.BuildReady, time.Hour)},
			want: "the newest build is older than 1h0m0s", build: true,
		},
		{
			name: "another recipe", image: pool.Image{Elements: []string{"new"}},
			builds: []*pool.Build{build(pool.BuildReady, 0)}, want: "the recipe changed", build: true,
		},
		{
			name: "another format", image: pool.Image{Formats: []string{"qcow2"}},
			builds: []*pool.Build{build(pool.BuildReady, 0)}, want: "the newest build lacks format qcow2", build: true,
		},
		{name: "paused", image: pool.Image{Paused: true}, commands: asked, want: "the image is paused"},
		{name: "running", builds: []*pool.Build{build(pool.BuildBuilding, 0)}, commands: asked, want: "build building is running"},
		{
			name: "asked for", builds: []*pool.Build{build(pool.BuildReady, 0)}, commands: asked,
			want: "asked for by me", build: true,
		},
		{
			name: "failed once", builds: []*pool.Build{build(pool.BuildFailed, 59*time.Second)},
			want: "failed 1 times in a row, backing off", at: t0.Add(time.Second),
		},
		{
			name: "failed once, waited", builds: []*pool.Build{build(pool.BuildFailed, time.Minute)},
			want: "there is no ready build", build: true,
		},
		{
			name:   "failed five times",
			builds: []*pool.Build{with(build(pool.BuildFailed, time.Minute), func(b *pool.Build) { b.Attempts = 4 })},
			want:   "failed 5 times in a row, backing off", at: t0.Add(15 * time.Minute),
		},
		{
			name:   "failed for ever",
			builds: []*pool.Build{with(build(pool.BuildFailed, 0), func(b *pool.Build) { b.Attempts = 400 })},
			want:   "failed 401 times in a row, backing off", at: t0.Add(time.Hour),
		},
		{
			name:   "another recipe failed",
			builds: []*pool.Build{with(build(pool.BuildFailed, 0), func(b *pool.Build) { b.RecipeHash = "other" })},
			want:   "there is no ready build", build: true,
		},
		{
			name: "failed, asked for", builds: []*pool.Build{build(pool.BuildFailed, 0)}, commands: asked,
			want: "asked for by me", build: true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := *image
			i.Paused, i.Elements = c.image.Paused, c.image.Elements
			if c.image.Formats != nil {
				i.Formats = c.image.Formats
			}
			v := Due(&pool.Snapshot{Builds: c.builds, Commands: c.commands}, &i, t0)
			if v.Reason != c.want || v.Build != c.build || !c.build && !v.At.Equal(c.at) {
				t.Errorf("got %v %q at %v, want %v %q at %v", v.Build, v.Reason, v.At, c.build, c.want, c.at)
			}
		})
	}
	if v := Due(&pool.Snapshot{}, &pool.Image{Name: "i"}, t0); v.Build {
		t.Error("an image that nobody wants a format of is built")
	}
}

func state2id(s pool.BuildState) string { return string(s) }

// A failure is recorded with the end of the log and counted, nothing is left
// of it but the log, and it is tried again after its back-off.
func TestFailure(t *testing.T) {
	h := newBench(t, produce+"\necho 'no space left' >&2\nexit 7\n")
	b := h.builder()
	h.settle(b)
	s := h.store.Snapshot()
	if got := s.Builds[0]; got.State != pool.BuildFailed || !strings.Contains(got.Error, "exit status 7") ||
		!strings.HasSuffix(got.Error, "no space left") {
		t.Errorf("got %s %q", got.State, got.Error)
	}
	if got := h.ls(); len(got) != 0 {
		t.Errorf("files are left: %v", got)
	}
	h.now = h.now.Add(61 * time.Second)
	h.settle(b)
	if s = h.store.Snapshot(); s.BuildsOf("noble")[0].Attempts != 1 {
		t.Errorf("the second failure does not count the first: %v", h.store.Moves)
	}
	if d := cmp.Diff([]string{"failed", "deleted"}, h.states()); d != "" {
		t.Error(d)
	}
}

// A format that is missing fails the build though the command succeeded.
func TestMissingFormat(t *testing.T) {
	h := newBench(t, produce+`rm "$out.raw"`)
	h.settle(h.builder())
	if got := h.store.Snapshot().Builds[0]; got.State != pool.BuildFailed || !strings.Contains(got.Error, "format raw") {
		t.Errorf("got %s %q", got.State, got.Error)
	}
	if got := h.ls(); len(got) != 0 {
		t.Errorf("files are left: %v", got)
	}
}

// After a crash the next builder kills what survived of the command, removes
// its files, and touches nothing of another image.
func TestRestartCleansUp(t *testing.T) {
	h := newBench(t, produce)
	dead, err := pool.NewID(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other := "ab0123456789"
	h.store.Builds = []*pool.Build{{
		Image: "noble", ID: dead, State: pool.BuildBuilding, Builder: "p1", Since: t0, Created: t0,
		Record: pool.Record{Revision: 1},
	}}
	h.image.Paused = true // nothing new is built
	survivor := exec.CommandContext(t.Context(), "sleep", "1000")
	survivor.Env = []string{marker + "noble-" + dead}
	if err := survivor.Start(); err != nil {
		t.Fatal(err)
	}
	foreign := []string{"noble-arm-" + other + ".raw", "noble-notes.raw", "noblex-" + other + ".raw", "noble-" + other}
	for _, name := range slices.Concat(foreign, []string{
		"noble-" + dead + ".raw", "noble-" + dead + ".raw.md5", "noble-" + dead + ".tmp/deep/file",
		"noble-" + dead + ".d/manifest", "noble-" + other + ".qcow2",
	}) {
		path := filepath.Join(h.dirs.Images, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	h.settle(h.builder())
	if err := survivor.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the survivor ended with %v", err)
	}
	slices.Sort(foreign)
	if d := cmp.Diff(foreign, h.ls()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"failed"}, h.states()); d != "" {
		t.Error(d)
	}
}

// The two newest ready builds stay; older ones go with their files once no
// provider has them, and not while one has nothing newer.
func TestRetention(t *testing.T) {
	h := newBench(t, produce)
	b := h.builder()
	for range 2 {
		h.settle(b)
		h.now = h.now.Add(25 * time.Hour)
	}
	first := h.store.Snapshot().Builds[0]
	h.store.Edit(func() {
		h.store.Uploads = []*pool.Upload{{Image: "noble", Build: first.ID, Provider: "slow", State: pool.UploadReady}}
	})
	h.settle(b)
	if d := cmp.Diff([]string{"ready", "ready", "ready"}, h.states()); d != "" {
		t.Errorf("a provider's only image must stay: %s", d)
	}
	second := h.store.Snapshot().Builds[1]
	h.store.Edit(func() {
		h.store.Uploads = append(h.store.Uploads, &pool.Upload{Image: "noble", Build: second.ID, Provider: "slow", State: pool.UploadReady})
	})
	h.settle(b)
	if d := cmp.Diff([]string{"ready", "ready", "deleting"}, h.states()); d != "" {
		t.Error(d)
	}
	if slices.ContainsFunc(h.ls(), func(f string) bool { return strings.Contains(f, first.ID) }) {
		t.Errorf("the files wait for a slow cloud: %v", h.ls())
	}
	h.store.Edit(func() { h.store.Uploads = h.store.Uploads[1:] })
	h.settle(b)
	if d := cmp.Diff([]string{"ready", "ready", "deleted"}, h.states()); d != "" {
		t.Error(d)
	}
	if logs, _ := files(h.dirs.Logs, "noble"); len(logs) != 2 {
		t.Errorf("logs of %d builds, want the two newest", len(logs))
	}
}

// A command is answered in the write that makes the build, or refused.
func TestCommand(t *testing.T) {
	h := newBench(t, produce)
	b := h.builder()
	h.settle(b)
	ask := func(id string) {
		h.store.Edit(func() {
			h.store.Commands = []*pool.Command{{ID: id, Verb: pool.VerbBuild, Target: "noble", By: "me"}}
		})
	}
	ask("c1")
	h.settle(b)
	if c := h.store.Snapshot().Commands[0]; !c.Done || c.Error != "" || len(h.states()) != 2 {
		t.Errorf("got %+v and %v", c, h.states())
	}
	h.image.Paused = true
	ask("c2")
	h.settle(h.builder())
	if c := h.store.Snapshot().Commands[0]; !c.Done || c.Error != "the image is paused" || len(h.states()) != 2 {
		t.Errorf("got %+v and %v", c, h.states())
	}
}

// A build outlives the store: its outcome is recorded when the store is back,
// also if the reply to that write was lost.
func TestStoreAway(t *testing.T) {
	h := newBench(t, produce)
	b := h.builder()
	if _, err := b.step(t.Context(), h.now); err != nil {
		t.Fatal(err)
	}
	answers := []error{pool.ErrUnavailable, pool.ErrUnavailable, pool.ErrUnknown}
	h.store.Fail = func(w pool.Write) (error, bool) {
		if len(w.Builds) == 0 || len(answers) == 0 {
			return nil, false
		}
		err := answers[0]
		answers = answers[1:]
		return err, errors.Is(err, pool.ErrUnknown)
	}
	<-b.outcome()
	b.ended = &b.work.outcome
	for range 3 {
		if _, err := b.step(t.Context(), h.now); err != nil {
			t.Fatal(err)
		}
	}
	h.settle(b)
	if d := cmp.Diff([]string{"ready"}, h.states()); d != "" {
		t.Error(d)
	}
	if b.work != nil || b.ended != nil {
		t.Error("the outcome is still to be recorded")
	}
}

// A write as somebody who is no longer the owner ends Run.
func TestNotOwner(t *testing.T) {
	h := newBench(t, produce)
	h.store.Fail = func(pool.Write) (error, bool) { return pool.ErrNotOwner, false }
	if err := h.builder().Run(t.Context()); !errors.Is(err, pool.ErrNotOwner) {
		t.Errorf("Run returned %v", err)
	}
}
