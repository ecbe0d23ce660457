package builder

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"poold/pool"
)

// filesHere lists the files of builds, without their names' common start.
func (h *bench) filesHere(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(h.dirs.Images)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		_, rest, _ := strings.Cut(e.Name(), ".")
		names = append(names, rest)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// The file of a format goes once every provider that takes it has the build
// ready, and not before; the record says so first. The file of a format that is
// to be kept stays, and no build is made for a file that is gone.
func TestDeleteAfterUpload(t *testing.T) {
	const all, noRaw, none = "qcow2 qcow2.md5 raw raw.md5", "qcow2 qcow2.md5", ""
	ready := func(provider, format string) *pool.Upload {
		return &pool.Upload{Image: "noble", Provider: provider, State: pool.UploadReady, Format: format}
	}
	in := func(state pool.UploadState, u *pool.Upload) *pool.Upload { u.State = state; return u }
	old := func(u *pool.Upload) *pool.Upload { u.Build = "old"; return u }
	us := func(providers ...string) *pool.Member {
		m := &pool.Member{Name: "p1", Uploads: map[string][]string{}}
		for _, p := range providers {
			m.Uploads[p] = []string{"noble"}
		}
		return m
	}
	other := &pool.Member{Name: "p2", Uploads: map[string][]string{"c": {"noble"}, "d": {"jammy"}}}
	for _, c := range []struct {
		name    string
		members []*pool.Member
		uploads []*pool.Upload
		keep    []string
		want    string
	}{
		{"every provider has it", []*pool.Member{us("a", "b")}, []*pool.Upload{ready("a", "raw"), ready("b", "qcow2")}, nil, none},
		{"of another format it is not known yet", []*pool.Member{us("a", "b")}, []*pool.Upload{ready("a", "raw")}, nil, all},
		{"of another format it failed", []*pool.Member{us("a", "b")}, []*pool.Upload{ready("a", "raw"), in(pool.UploadFailed, ready("b", "qcow2"))}, nil, noRaw},
		{"it is on trial", []*pool.Member{us("a", "b")}, []*pool.Upload{ready("a", "raw"), in(pool.UploadTrial, ready("b", "raw"))}, nil, all},
		{"an older one is there", []*pool.Member{us("a", "b")}, []*pool.Upload{ready("a", "raw"), old(ready("b", "raw"))}, nil, all},
		{"another peer's provider lacks it", []*pool.Member{us("a"), other}, []*pool.Upload{ready("a", "raw"), old(ready("c", "raw"))}, nil, all},
		{"another peer's provider has it", []*pool.Member{us("a"), other}, []*pool.Upload{ready("a", "raw"), ready("c", "raw")}, []string{"qcow2"}, noRaw},
		{"no provider lists it", []*pool.Member{us()}, []*pool.Upload{ready("a", "raw")}, nil, all},
		{"this peer is not known yet", []*pool.Member{other}, []*pool.Upload{ready("c", "raw")}, nil, all},
		{"to be kept", []*pool.Member{us("a", "b")}, []*pool.Upload{ready("a", "raw"), ready("b", "qcow2")}, []string{"qcow2", "raw"}, all},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newBench(t, produce)
			h.image.DeleteAfterUpload, h.image.KeepFormats = true, c.keep
			b := h.builder()
			h.settle(b)
			build := h.store.Snapshot().Builds[0]
			if got := h.filesHere(t); got != all {
				t.Fatalf("built: %q", got)
			}
			h.store.Edit(func() {
				h.store.Members = c.members
				for _, u := range c.uploads {
					if u.Build == "" {
						u.Build = build.ID
					}
				}
				h.store.Uploads = c.uploads
			})
			h.settle(b)
			h.settle(h.builder()) // nor after a restart
			if got := h.filesHere(t); got != c.want {
				t.Errorf("left: %q, want %q", got, c.want)
			}
			builds := h.store.Snapshot().Builds
			if len(builds) != 1 || builds[0].State != pool.BuildReady {
				t.Errorf("%d builds, the last %s", len(builds), builds[0].State)
			}
			for _, a := range builds[0].Artifacts {
				_, err := os.Stat(filepath.Join(h.dirs.Images, base("noble", build.ID)+"."+a.Format))
				if (a.Path == "") != (err != nil) {
					t.Errorf("%s is at %q, and on the disk: %v", a.Format, a.Path, err)
				}
			}
		})
	}
}

// Files go only after the record says so: a write that fails leaves them.
func TestFilesOutliveTheirRecord(t *testing.T) {
	h := newBench(t, produce)
	h.image.DeleteAfterUpload = true
	b := h.builder()
	h.settle(b)
	build := h.store.Snapshot().Builds[0]
	h.store.Edit(func() {
		h.store.Members = []*pool.Member{{Name: "p1", Uploads: map[string][]string{"a": {"noble"}}}}
		h.store.Uploads = []*pool.Upload{{Image: "noble", Build: build.ID, Provider: "a", State: pool.UploadReady, Format: "raw"}}
		h.store.Fail = func(pool.Write) (error, bool) { return pool.ErrUnavailable, false }
	})
	before := h.filesHere(t)
	h.settle(b)
	if got := h.filesHere(t); got != before {
		t.Errorf("left: %q, want %q", got, before)
	}
	h.store.Edit(func() { h.store.Fail = nil })
	h.settle(b)
	if got := h.filesHere(t); got == before {
		t.Error("they stay for ever")
	}
}
