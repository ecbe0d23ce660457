package builder

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"poold/pool"
)

// A failed build is tried again after retryFirst, doubling up to retryMax.
const (
	retryFirst = time.Minute
	retryMax   = time.Hour
)

// Verdict is whether an image is to be built now.
type Verdict struct {
	Build bool
	// Reason is why, or why not, for a human.
	Reason string
	// At is when the verdict may change by itself; zero if it cannot.
	At time.Time
	// Commands are the operator's open commands to build the image: the build
	// fulfils all of them, and no build refuses them with Reason.
	Commands []*pool.Command
	// Aged is the last build if it is only too old, or nil. If what it was made
	// of has not changed, it need not be made again.
	Aged *pool.Build
	// Attempts is how many builds of the recipe have failed in a row.
	Attempts int
}

// Due decides whether an image is to be built. It is pure.
func Due(s *pool.Snapshot, image *pool.Image, now time.Time) Verdict {
	builds := s.BuildsOf(image.Name)
	v := Verdict{Commands: openCommands(s, image.Name)}
	v.Attempts, v.At = failures(builds, RecipeHash(image))
	if reason := forbidden(s, builds, image); reason != "" {
		v.Reason, v.At = reason, time.Time{}
		return v
	}
	if len(v.Commands) > 0 {
		v.Build, v.Reason = true, "asked for by "+v.Commands[0].By
		return v
	}
	if now.Before(v.At) {
		v.Reason = fmt.Sprintf("failed %d times in a row, backing off", v.Attempts)
		return v
	}
	ready := lastMade(builds)
	if v.Reason = missing(ready, image); v.Reason != "" {
		v.Build = true
		return v
	}
	if v.Reason, v.At = aged(ready, image, now); v.Reason != recent {
		v.Build, v.Aged = true, ready
	}
	return v
}

// forbidden is why the image may not be built even if asked for, or "".
func forbidden(s *pool.Snapshot, builds []*pool.Build, image *pool.Image) string {
	pause := s.Pause(image.Name)
	switch running := newest(builds, pool.BuildBuilding); {
	case left(image):
		return "no running peer has a recipe of the image"
	case image.Paused:
		return "the image is paused"
	case pause != nil:
		return pause.Text()
	case len(image.Formats) == 0:
		return "nobody wants a format of the image"
	case running != nil:
		return "build " + running.ID + " is running"
	}
	return ""
}

// left tells whether an image is one that nobody builds any more, and of which
// only the name is known.
func left(image *pool.Image) bool { return len(image.Formats) == 0 && !image.Recipe() }

// lastMade returns the build that the next one is counted from, or nil if
// nothing serves the image. One that was deleted by hand counts: what it was
// made of has not changed since, and the next one would be like it.
func lastMade(builds []*pool.Build) *pool.Build {
	if !slices.ContainsFunc(builds, serves) {
		return nil
	}
	return builds[slices.IndexFunc(builds, (*pool.Build).WasReady)]
}

// serves tells whether nodes can be made from a build.
func serves(b *pool.Build) bool { return b.State == pool.BuildReady && b.Withdrawn == "" }

// recent is why an image is not built.
const recent = "the newest build is recent"

// missing is why a build is due whatever the time, or "".
func missing(ready *pool.Build, image *pool.Image) string {
	if ready == nil {
		return "there is no ready build"
	}
	if ready.RecipeHash != RecipeHash(image) {
		return "the recipe changed"
	}
	for _, format := range image.Formats {
		if ready.Artifact(format) == nil {
			return "the newest build lacks format " + format
		}
	}
	return ""
}

// aged is why a build is due by now, or [recent], and when the next one will
// be, if ever.
func aged(ready *pool.Build, image *pool.Image, now time.Time) (string, time.Time) {
	if image.RebuildAge == 0 {
		return recent, time.Time{}
	}
	if at := fresh(ready).Add(image.RebuildAge); now.Before(at) {
		return recent, at
	}
	return "the newest build is older than " + image.RebuildAge.String(), time.Time{}
}

// fresh is when a build was last known to be up to date.
func fresh(b *pool.Build) time.Time {
	if made := madeAt(b); b.Origin == nil || b.Origin.Checked == nil || b.Origin.Checked.Before(made) {
		return made
	}
	return *b.Origin.Checked
}

// madeAt is when a build became ready.
func madeAt(b *pool.Build) time.Time {
	for _, e := range b.Timeline {
		if e.State == pool.BuildReady {
			return e.At
		}
	}
	return b.Since
}

// failures counts the builds of a recipe that failed since the last ready one,
// and says when the next may be tried. A changed recipe starts anew.
func failures(builds []*pool.Build, recipe string) (int, time.Time) {
	failed := newest(builds, pool.BuildFailed)
	made := slices.IndexFunc(builds, (*pool.Build).WasReady)
	if failed == nil || failed.RecipeHash != recipe ||
		made >= 0 && builds[made].Created.After(failed.Created) {
		return 0, time.Time{}
	}
	n := failed.Attempts + 1
	return n, failed.Since.Add(min(retryFirst<<min(n-1, 10), retryMax))
}

// RecipeHash tells recipes apart that may build different images. Formats are
// not part of it: dropping one needs no rebuild.
func RecipeHash(image *pool.Image) string {
	recipe := fmt.Appendf(nil, "%q %q %q %q", image.Elements, image.Env, image.Release, image.Command)
	switch {
	case image.URL != "":
		recipe = fmt.Appendf(nil, "url %q %q", image.URL, image.Checksum)
	case image.SnapshotOf != nil:
		recipe = fmt.Appendf(nil, "snapshot-of %+v", *image.SnapshotOf)
	}
	sum := sha256.Sum256(recipe)
	return hex.EncodeToString(sum[:])
}

// newest returns the first build in the state, or nil.
func newest(builds []*pool.Build, state pool.BuildState) *pool.Build {
	for _, b := range builds {
		if b.State == state {
			return b
		}
	}
	return nil
}

func openCommands(s *pool.Snapshot, image string) []*pool.Command {
	var open []*pool.Command
	for _, c := range s.Commands {
		if c.Verb == pool.VerbBuild && c.Target == image && !c.Done {
			open = append(open, c)
		}
	}
	return open
}
