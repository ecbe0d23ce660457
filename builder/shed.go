package builder

import (
	"errors"
	"path/filepath"
	"slices"

	"poold/pool"
)

// shed returns the changes that say of files that every provider has that they
// are no longer here. They are deleted afterwards: who reads the record never
// looks for a file that is gone. Builds that change otherwise wait.
func (b *Builder) shed(s *pool.Snapshot, builds []*pool.Build, changing []pool.Change[pool.Build]) []pool.Change[pool.Build] {
	var changes []pool.Change[pool.Build]
	for _, r := range builds {
		busy := slices.ContainsFunc(changing, func(c pool.Change[pool.Build]) bool { return c.Before == r })
		if busy || !b.image.DeleteAfterUpload || r.State != pool.BuildReady || r.Builder != b.peer {
			continue
		}
		after := *r
		after.Artifacts = slices.Clone(r.Artifacts)
		for i := range after.Artifacts {
			if a := &after.Artifacts[i]; !slices.Contains(b.image.KeepFormats, a.Format) && everywhere(s, b.peer, r, a.Format) {
				a.Path = ""
			}
		}
		if !slices.Equal(after.Artifacts, r.Artifacts) {
			changes = append(changes, pool.Update(r, &after))
		}
	}
	return changes
}

// everywhere tells whether all providers that may take a format of a build have
// it, and one does. Which there are is what the running peers say, this one
// among them; one whose format is not known may take any.
func everywhere(s *pool.Snapshot, peer string, build *pool.Build, format string) bool {
	uploads := uploadsOf(s, build.Image)
	here, have := false, 0
	for _, m := range s.Members {
		here = here || m.Name == peer
		for provider, images := range m.Uploads {
			if !slices.Contains(images, build.Image) || takesOther(uploads, provider, format) {
				continue
			}
			if !slices.ContainsFunc(uploads, func(u *pool.Upload) bool {
				return u.Provider == provider && u.Build == build.ID && u.State == pool.UploadReady
			}) {
				return false
			}
			have++
		}
	}
	return here && have > 0
}

// takesOther tells whether a provider is known to take another format.
func takesOther(uploads []*pool.Upload, provider, format string) bool {
	other := false
	for _, u := range uploads {
		if u.Provider == provider && u.Format == format {
			return false
		}
		other = other || u.Provider == provider && u.Format != ""
	}
	return other
}

// dropped returns the formats of a build whose files are not to be here.
func dropped(r *pool.Build) []string {
	var formats []string
	for i := range r.Artifacts {
		if r.Artifacts[i].Path == "" {
			formats = append(formats, r.Artifacts[i].Format)
		}
	}
	return formats
}

// drop deletes the files of those formats, with their checksums.
func drop(dirs Dirs, r *pool.Build) error {
	var errs []error
	for _, format := range dropped(r) {
		file := filepath.Join(dirs.Images, base(r.Image, r.ID)+"."+format)
		for _, path := range []string{file, file + ".md5", file + ".sha256"} {
			errs = append(errs, removed(path))
		}
	}
	return errors.Join(errs...)
}
