package pool

import (
	"cmp"
	"slices"
)

// Use is an image in a provider.
type Use struct{ Provider, Image string }

// Serving returns the uploads that nodes may be made from, for each image in
// each provider that of the newest build first. What an operator took out of
// service is not among them, whether he withdrew the upload or its build.
func (s *Snapshot) Serving() map[Use][]*Upload {
	builds := make(map[[2]string]*Build, len(s.Builds))
	for _, b := range s.Builds {
		builds[[2]string{b.Image, b.ID}] = b
	}
	serving := map[Use][]*Upload{}
	for _, u := range s.Uploads {
		if b := builds[[2]string{u.Image, u.Build}]; u.serves(b) {
			k := Use{u.Provider, u.Image}
			serving[k] = append(serving[k], u)
		}
	}
	for _, some := range serving {
		slices.SortStableFunc(some, func(a, b *Upload) int {
			of, other := builds[[2]string{a.Image, a.Build}], builds[[2]string{b.Image, b.Build}]
			if of == nil || other == nil {
				return b.Created.Compare(a.Created)
			}
			return cmp.Or(other.Created.Compare(of.Created), b.Created.Compare(a.Created))
		})
	}
	return serving
}

// Trials returns the uploads that a canary may be launched from.
func (s *Snapshot) Trials() []*Upload {
	var trials []*Upload
	for _, u := range s.Uploads {
		if u.State == UploadTrial && u.ExternalID != "" && u.Withdrawn == "" && s.inService(u) {
			trials = append(trials, u)
		}
	}
	return trials
}

// inService tells whether nobody withdrew or deleted the build of an upload.
func (s *Snapshot) inService(u *Upload) bool {
	for _, b := range s.Builds {
		if b.Image == u.Image && b.ID == u.Build {
			return b.inService()
		}
	}
	return true
}

func (b *Build) inService() bool {
	return b.Withdrawn == "" && b.State != BuildDeleting && b.State != BuildDeleted
}

// serves tells whether nodes may be made from an upload of a build; the record
// of the build may be missing.
func (u *Upload) serves(b *Build) bool {
	if u.State != UploadReady || u.ExternalID == "" || u.Withdrawn != "" {
		return false
	}
	return b == nil || b.inService()
}

// Current returns the one of the uploads that serve an image in a provider from
// which nodes are made, or nil if there is none: the newest, unless that fails
// and an older one does not.
func Current(serving []*Upload) *Upload {
	for _, u := range serving {
		if u.Failing == "" {
			return u
		}
	}
	if len(serving) == 0 {
		return nil
	}
	return serving[0]
}
