package builder

import (
	"slices"
	"time"

	"poold/pool"
)

// keepReady is how many ready builds of an image are kept: the current one and
// the one to roll back to.
const keepReady = 2

// remembered is how many records of deleted builds of an image are kept, for
// whoever wants to know what became of them.
const remembered = 10

// forgetAfter is how long the records of deleted builds are kept of an image that
// nobody builds.
const forgetAfter = 7 * 24 * time.Hour

// forget returns the changes that remove the records of what went long ago of an
// image that nobody builds: no new build pushes them out. It is pure.
func forget(builds []*pool.Build, now time.Time) []pool.Change[pool.Build] {
	var changes []pool.Change[pool.Build]
	for _, b := range builds {
		if b.State == pool.BuildDeleted && now.Sub(b.Since) >= forgetAfter {
			changes = append(changes, pool.Remove(b))
		}
	}
	return changes
}

// retain returns the changes that retention asks for: superseded builds and
// all but the newest failed one (kept for its log) go, and of what is gone
// everywhere the newest records are kept. A build that was withdrawn stays
// until it would have been superseded, but is not counted. It is pure. Builds
// are newest first.
func retain(builds []*pool.Build, uploads []*pool.Upload, now time.Time) []pool.Change[pool.Build] {
	var changes []pool.Change[pool.Build]
	lastUses := lastUses(builds, uploads)
	newer := map[pool.BuildState]int{}
	for _, b := range builds {
		n := newer[b.State]
		if b.State != pool.BuildReady || serves(b) {
			newer[b.State]++
		}
		if b.State == pool.BuildDeleted && n >= remembered {
			changes = append(changes, pool.Remove(b))
			continue
		}
		if to, reason := retired(b, n, lastUses[b.ID], uploaded(uploads, b.ID)); to != "" {
			changes = append(changes, pool.Update(b, b.Moved(to, now).Because(reason)))
		}
	}
	return changes
}

// retired is the state that retention moves a build to and why, or "" if it
// stays. There are newer ones of its state; somewhere there is nothing newer
// than it (last), or it itself (there).
func retired(b *pool.Build, newer int, last, there bool) (to pool.BuildState, reason string) {
	switch {
	case b.State == pool.BuildReady && newer >= keepReady && !last:
		return pool.BuildDeleting, "superseded"
	case b.State == pool.BuildFailed && newer > 0:
		return pool.BuildDeleting, "a later one failed as well"
	case b.State == pool.BuildDeleting && !there:
		return pool.BuildDeleted, "its files and uploads are gone"
	}
	return "", ""
}

// uploaded tells whether a provider has, or may have, the build.
func uploaded(uploads []*pool.Upload, build string) bool {
	return slices.ContainsFunc(uploads, func(u *pool.Upload) bool {
		return u.Build == build && u.State != pool.UploadDeleted
	})
}

// lastUses returns the builds that are the newest ready upload of some
// provider: where uploads keep failing, an old image is better than none.
func lastUses(builds []*pool.Build, uploads []*pool.Upload) map[string]bool {
	uses, served := make(map[string]bool), make(map[string]bool)
	for _, b := range builds {
		for _, u := range uploads {
			if u.Build == b.ID && u.State == pool.UploadReady && u.Withdrawn == "" && serves(b) && !served[u.Provider] {
				served[u.Provider], uses[b.ID] = true, true
			}
		}
	}
	return uses
}

func uploadsOf(s *pool.Snapshot, image string) []*pool.Upload {
	var uploads []*pool.Upload
	for _, u := range s.Uploads {
		if u.Image == image {
			uploads = append(uploads, u)
		}
	}
	return uploads
}
