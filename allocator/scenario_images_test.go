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

// judge is what the uploader makes of an upload that is tried.
func (w *world) judge(i int, to pool.UploadState, withdrawn string) {
	w.editUpload(i, func(u *pool.Upload) { u.State, u.Withdrawn = to, withdrawn })
}

// tellCanary: while a new build is tried the one before serves, and one node is
// all that is made of it.
func tellCanary(t *testing.T) *world {
	t.Helper()
	w := newImageWorld(t)
	w.judge(1, pool.UploadTrial, "")
	w.request("a", "big")
	w.pass("the smallest label tries the new build, and the one before serves")
	w.showImages()
	w.build("n001")
	w.request("b", "small")
	w.pass("nobody waits for the canary, and there is one")
	w.showImages()
	w.after(time.Second)
	w.boot("n001")
	w.pass("a canary that is reached is a node like any other")
	w.judge(1, pool.UploadReady, "")
	w.boot()
	w.quietly()
	w.request("c", "small")
	w.pass("and its build serves")
	w.showImages()
	w.boot()
	w.quietly()
	w.addBuild("b3", w.now)
	w.judge(2, pool.UploadTrial, "")
	w.quietly()
	for i, id := range []pool.NodeID{"n005", "n006", "n007"} {
		w.after(time.Hour / 10)
		w.pass("a canary that fails is followed by another")
		w.breakDown(id, pool.KindUnreachable, "p"+string(rune('1'+i)))
	}
	w.after(time.Hour / 10)
	w.pass("but not by a fourth")
	w.judge(2, pool.UploadFailed, "refused: none of 3 nodes made from it was reached")
	w.request("d", "small")
	w.pass("and the one before serves on")
	w.showImages()
	return w
}

// tellFirstCanary: with no build before it requests wait for the canary, which
// serves them, and it is tried until one works.
func tellFirstCanary(t *testing.T) *world {
	t.Helper()
	w := newImageWorld(t)
	w.builds, w.uploads = w.builds[1:], w.uploads[1:]
	w.judge(0, pool.UploadTrial, "")
	w.request("a", "small")
	w.pass("requests wait, and it is said for what")
	for i, id := range []pool.NodeID{"n001", "n002", "n003", "n004"} {
		w.breakDown(id, pool.KindTimeout, "p"+string(rune('1'+i)))
		w.after(time.Hour / 10)
		w.pass("tried again")
	}
	w.boot("n005")
	w.pass("the canary serves who waits")
	w.judge(0, pool.UploadReady, "")
	w.request("b", "small")
	w.quietly()
	w.boot()
	w.quietly()
	w.addBuild("b3", w.now)
	w.judge(1, pool.UploadTrial, "")
	w.quietly()
	w.boot()
	w.pass("a canary that nobody needs goes")
	return w
}

// tellCanaryInAFullCloud: a new build gets its node before demand does.
func tellCanaryInAFullCloud(t *testing.T) *world {
	t.Helper()
	w := newImageWorld(t)
	w.quota("east", cores(4))
	w.judge(1, pool.UploadTrial, "")
	w.request("a", "small")
	w.request("b", "small")
	w.pass("one of the two has to wait")
	w.showImages()
	w.judge(1, pool.UploadTrial, "paused by ann")
	w.addBuild("b3", w.now)
	w.judge(2, pool.UploadTrial, "")
	w.cat.Providers[0].Pools[0].Limits = cores(4)
	w.pass("there is no room for another canary")
	w.showImages()
	return w
}

// A bad build that is tried everywhere fails alike everywhere, and is no reason
// to launch nothing else.
func TestCanariesDoNotFreeze(t *testing.T) {
	for canary, frozen := range map[bool]bool{false: true, true: false} {
		w := newWorld(t, aProvider("east", nil), aProvider("west", nil))
		for i := range alikeMin {
			n := &pool.Node{
				ID: pool.NodeID(rune('a' + i)), Provider: []string{"east", "west"}[i%2], Pool: "main", Label: "small",
				Failure: pool.KindTimeout, Canary: canary, ImageID: "img-2",
			}
			w.nodes[n.ID] = n.Moved(pool.NodeFailed, pool.Launcher, "", w.now)
		}
		plan := Decide(w.snapshot(), w.cat, w.now.Add(time.Second))
		if got := plan.Frozen != ""; got != frozen {
			t.Errorf("of canaries: %v; frozen: %q", canary, plan.Frozen)
		}
	}
}
