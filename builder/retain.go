package builder

import (
	"slices"
	"time"

	"poold/pool"
)

// keepReady is how many ready builds of an image are kept: the current one and
// the one to roll back to.
const keepReady = 2

// retain returns the changes that retention asks for: superseded builds and
// all but the newest failed one (kept for its log) go, and what is gone
// everywhere is removed. It is pure. Builds are newest first.
func retain(builds []*pool.Build, uploads []*pool.Upload, now time.Time) []pool.Change[pool.Build] {
	var changes []pool.Change[pool.Build]
	lastUses := lastUses(builds, uploads)
	ready, failed := 0, 0
	for _, b := range builds {
		switch b.State {
		case pool.BuildBuilding:
		case pool.BuildReady:
			if ready++; ready > keepReady && !lastUses[b.ID] {
				changes = append(changes, pool.Update(b, b.Moved(pool.BuildDeleting, now)))
			}
		case pool.BuildFailed:
			if failed++; failed > 1 {
				changes = append(changes, pool.Update(b, b.Moved(pool.BuildDeleting, now)))
			}
		case pool.BuildDeleting:
			if !uploaded(uploads, b.ID) {
				changes = append(changes, pool.Update(b, b.Moved(pool.BuildDeleted, now)))
			}
		case pool.BuildDeleted:
			changes = append(changes, pool.Remove(b))
		}
	}
	return changes
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
			if u.Build != b.ID || u.State != pool.UploadReady || served[u.Provider] {
				continue
			}
			served[u.Provider], uses[b.ID] = true, true
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
