package allocator

import (
	"testing"
	"time"

	"poold/pool"
)

// newImageWorld has two builds of deb in one provider; small is made from it.
func newImageWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", func(p *pool.Provider) {
		p.Images = []pool.ProviderImage{{Name: "deb"}}
		p.Pools[0].Labels = []pool.LabelSpec{
			{Name: "small", DiskImage: "deb", FlavorName: "s2"}, {Name: "big", DiskImage: "deb", FlavorName: "s4"},
		}
	}))
	w.addBuild("b1", start.Add(-time.Hour))
	w.addBuild("b2", start)
	return w
}

// addBuild adds a build of deb with its upload, both ready.
func (w *world) addBuild(id string, at time.Time) {
	w.revision++
	rec := pool.Record{Revision: w.revision}
	w.builds = append(w.builds, &pool.Build{Image: "deb", ID: id, State: pool.BuildReady, Created: at, Record: rec})
	w.uploads = append(w.uploads, &pool.Upload{
		Image: "deb", Build: id, Provider: "east", State: pool.UploadReady, Created: at, ExternalID: "id-" + id, Record: rec,
	})
}

// editBuild is what the builder does to a build.
func (w *world) editBuild(i int, edit func(b *pool.Build)) {
	b := *w.builds[i]
	edit(&b)
	w.revision++
	b.Revision = w.revision
	w.builds[i] = &b
}

// editUpload is what the uploader does to an upload.
func (w *world) editUpload(i int, edit func(u *pool.Upload)) {
	u := *w.uploads[i]
	edit(&u)
	w.revision++
	u.Revision = w.revision
	w.uploads[i] = &u
}

// tellRollBack: from the moment that a build is withdrawn nothing is made from
// it, given from it or waited for.
func tellRollBack(t *testing.T) *world {
	t.Helper()
	w := newImageWorld(t)
	w.cat.Labels[1].MinReady = 1
	w.quietly()
	w.boot()
	w.request("a", "small")
	w.quietly()
	w.boot()
	w.request("b", "small small small")
	w.quietly()
	w.build("n003")
	w.after(time.Second)
	w.editBuild(1, func(b *pool.Build) { b.Withdrawn = "paused by ann: it panics" })
	w.pass("idle nodes of a bad build go, those in use stay, and the one before serves")
	w.showImages()
	w.boot()
	w.pass("a node of it that the cloud was asked for goes when it is ready")
	w.quietly()
	w.boot()
	w.editBuild(1, func(b *pool.Build) { b.Withdrawn = "" })
	w.request("c", "small")
	w.pass("back in service: what is launched now is made of it")
	w.showImages()
	w.quietly()
	w.boot()
	w.quietly()
	w.editUpload(1, func(u *pool.Upload) { u.State, u.Withdrawn = pool.UploadDeleting, "deleted by ann" })
	w.editUpload(0, func(u *pool.Upload) { u.Withdrawn = "paused by bob" })
	w.drop("b")
	w.request("d", "small")
	w.pass("nothing serves: it is said who wants that")
	return w
}
