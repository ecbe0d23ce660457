package builder

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poold/pool"
)

// leaves has the image be one that nobody builds, and returns who keeps it.
func (h *bench) leaves() *Builder {
	h.image = pool.Image{Name: h.image.Name}
	return h.builder()
}

// put makes empty files below the directory of images, that are of a time.
func (h *bench) put(at time.Time, names ...string) {
	h.t.Helper()
	for _, name := range names {
		path := filepath.Join(h.dirs.Images, name)
		err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o600), os.Chtimes(path, at, at))
		if err != nil {
			h.t.Fatal(err)
		}
	}
}

// Of an image that nobody builds any more nothing goes by itself, however old it
// is, and nothing is built. What is half built ends as after a restart, and its
// builds are deleted, with their files, by whoever asks for it; their records go a
// week later.
func TestAnImageThatNobodyBuilds(t *testing.T) {
	h := newBench(t, produce)
	newer := h.twice(h.builder())
	half := &pool.Build{
		Image: "noble", ID: strings.Repeat("h", 12), State: pool.BuildBuilding, Builder: "p1", Since: h.now, Created: h.now.Add(time.Hour),
	}
	h.store.Edit(func() {
		half.Revision = h.store.Revision
		h.store.Builds = append(h.store.Builds, half)
	})
	h.put(h.now, "noble-"+half.ID+".raw")
	b := h.leaves()
	h.now = h.now.Add(1000 * time.Hour)
	h.settle(b)
	if d := cmp.Diff([]string{"failed", "ready", "ready"}, h.states()); d != "" {
		t.Fatal(d)
	}
	if ls := h.ls(); len(ls) != 8 || slices.Contains(ls, "noble-"+half.ID+".raw") {
		t.Errorf("there are %v, want the files of both builds", ls)
	}
	h.store.Edit(func() {
		h.store.Commands = []*pool.Command{{ID: "b", Verb: pool.VerbBuild, Target: "noble", Record: pool.Record{Revision: h.store.Revision}}}
	})
	h.settle(b)
	if c := h.store.Snapshot().Commands[0]; !c.Done || c.Error != "no running peer has a recipe of the image" {
		t.Errorf("it is built: %+v", c)
	}
	if c := h.ask(b, pool.VerbWithdrawBuild, newer.ID); !c.Done || c.Error != "" {
		t.Errorf("not paused: %+v", c)
	}
	for _, r := range h.store.Snapshot().BuildsOf("noble") {
		if c := h.ask(b, pool.VerbDeleteBuild, r.ID); !c.Done || c.Error != "" {
			t.Errorf("not deleted: %+v", c)
		}
	}
	if d := cmp.Diff([]string{"deleted", "deleted", "deleted"}, h.states()); d != "" {
		t.Error(d)
	}
	if ls := h.ls(); len(ls) != 0 {
		t.Errorf("files are left: %v", ls)
	}
	h.now = h.now.Add(forgetAfter - time.Second)
	h.settle(b)
	if len(h.states()) != 3 {
		t.Errorf("the records are gone after less than a week: %v", h.states())
	}
	h.now = h.now.Add(time.Second)
	h.settle(b)
	if len(h.states()) != 0 {
		t.Errorf("the records stay: %v", h.states())
	}
}

// A peer's disk keeps what may be of use yet, and nothing of another peer goes.
func TestTidy(t *testing.T) {
	h := newBench(t, "")
	id := func(n int) string { return fmt.Sprintf("%012d", n) }
	builds := []*pool.Build{}
	for n, state := range []pool.BuildState{pool.BuildBuilding, pool.BuildReady, pool.BuildFailed, pool.BuildDeleting, pool.BuildDeleted} {
		for m, b := range []pool.Build{{Image: "noble", Builder: "p1"}, {Image: "noble", Builder: "p2"}, {Image: "old", Builder: "p1"}} {
			b.ID, b.State = id(10*m+n), state
			builds = append(builds, &b)
			h.put(t0, b.Image+"-"+b.ID+".raw", b.Image+"-"+b.ID+".tmp/x", "../logs/"+b.Image+"-"+b.ID+".log")
		}
	}
	stranger := "noble-" + id(99) + ".raw"
	h.put(t0, stranger)
	home := Home{Peer: "p1", Dirs: h.dirs, Images: []pool.Image{h.image}, Left: []string{"old"}}
	for range 2 { // it may be done again
		if err := Tidy(&pool.Snapshot{Builds: builds}, home, t0); err != nil {
			t.Fatal(err)
		}
	}
	want, logs := []string{stranger}, []string{}
	for _, b := range builds {
		if name := b.Image + "-" + b.ID; b.Builder != "p1" || b.State == pool.BuildBuilding || b.State == pool.BuildReady {
			want = append(want, name+".raw", name+".tmp")
		}
		if b.Image == "noble" || b.State != pool.BuildDeleted {
			logs = append(logs, filepath.Join(h.dirs.Logs, b.Image+"-"+b.ID+".log"))
		}
	}
	slices.Sort(want)
	slices.Sort(logs)
	if d := cmp.Diff(want, h.ls()); d != "" {
		t.Error(d)
	}
	got, err := filepath.Glob(filepath.Join(h.dirs.Logs, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(logs, got); d != "" {
		t.Error(d)
	}
}

// A download stays for as long as its image is downloaded, and for a day
// afterwards; a file that only has such a name is not touched.
func TestTidyDownloads(t *testing.T) {
	old := t0.Add(-downloadAge)
	files := []string{"noble.download", "noble.download.json", "noble.download.json.part"}
	for name, c := range map[string]struct {
		image pool.Image
		at    time.Time
		by    string
		gone  bool
	}{
		"it left":                        {at: old, by: "p1", gone: true},
		"it is built by a command":       {image: pool.Image{Name: "noble"}, at: old, by: "p1", gone: true},
		"it left not long ago":           {at: old.Add(time.Second), by: "p1"},
		"it is downloaded":               {image: pool.Image{Name: "noble", URL: "http://x"}, at: old, by: "p1"},
		"it is taken out":                {image: pool.Image{Name: "noble", SnapshotOf: &pool.SnapshotOf{}}, at: old, by: "p1"},
		"this peer never had it":         {at: old, by: "p2"},
		"it is another's of such a name": {at: old},
	} {
		t.Run(name, func(t *testing.T) {
			h := newBench(t, "")
			h.put(c.at, files...)
			s := &pool.Snapshot{}
			if c.by != "" {
				s.Builds = []*pool.Build{{Image: "noble", ID: "1", State: pool.BuildDeleted, Builder: c.by}}
			}
			if err := Tidy(s, Home{Peer: "p1", Dirs: h.dirs, Images: []pool.Image{c.image}}, t0); err != nil {
				t.Fatal(err)
			}
			if got := h.ls(); len(got) == 0 != c.gone {
				t.Errorf("there are %v", got)
			}
		})
	}
}

// When the URL of an image changes what came from the one before goes, also while
// the image is paused; what came from the same stays.
func TestAnotherURL(t *testing.T) {
	h := newBench(t, "exit 1")
	h.put(t0, "noble.download")
	note := filepath.Join(h.dirs.Images, "noble.download.json")
	errs := errors.Join(
		os.WriteFile(filepath.Join(h.dirs.Images, "noble.download"), []byte("half"), 0o600),
		os.WriteFile(note, []byte(`{"url": "http://one/d", "etag": "\"1\"", "total": 8}`), 0o600))
	if errs != nil {
		t.Fatal(errs)
	}
	h.image.Paused = true
	for _, c := range []struct {
		url  string
		want []string
	}{{"http://one/d", []string{"noble.download", "noble.download.json"}}, {"http://two/d", nil}} {
		h.image.URL = c.url
		h.settle(h.builder())
		if d := cmp.Diff(c.want, h.ls()); d != "" {
			t.Errorf("%s: %s", c.url, d)
		}
	}
}
