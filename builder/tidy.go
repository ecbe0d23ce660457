package builder

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"poold/pool"
)

// downloadAge is how long a download rests until it is removed that this peer
// would not go on with: its image may be back soon.
const downloadAge = 24 * time.Hour

// Home is the disk of one peer.
type Home struct {
	Peer string
	Dirs Dirs
	// Images are those that the peer has in its configuration.
	Images []pool.Image
	// Left are the images that no running peer builds.
	Left []string
}

// Tidy removes what a disk has of builds of its peer that failed or are deleted,
// or are to be, whoever owns their images by now. No owner is needed for that: such
// a build never comes back. The log of a deleted one goes with it if nobody builds
// its image; else later ones push it out. Of an image that the peer does not
// download an old download goes, too.
func Tidy(s *pool.Snapshot, h Home, now time.Time) error {
	var errs []error
	ours := map[string][]*pool.Build{}
	for _, b := range s.Builds {
		if b.Builder == h.Peer {
			ours[b.Image] = append(ours[b.Image], b)
		}
	}
	for name, builds := range ours {
		image := h.image(name)
		found, err := leftovers(h.Dirs, image)
		errs = append(errs, err)
		for _, b := range builds {
			if paths := found[b.ID]; paths != nil && gone(b) {
				errs = append(errs, discard(h.Dirs, image, b.ID, paths))
			}
			if b.State == pool.BuildDeleted && slices.Contains(h.Left, name) {
				errs = append(errs, removed(logPath(h.Dirs, name, b.ID)))
			}
		}
		if image.URL == "" && image.SnapshotOf == nil {
			errs = append(errs, dropDownload(downloadPath(h.Dirs, name), now))
		}
	}
	return errors.Join(errs...)
}

// image is what the peer knows of an image: its name, if nothing else.
func (h *Home) image(name string) *pool.Image {
	for i := range h.Images {
		if h.Images[i].Name == name {
			return &h.Images[i]
		}
	}
	return &pool.Image{Name: name}
}

// gone tells whether the files of a build are not needed any more, for ever.
func gone(b *pool.Build) bool {
	return b.State == pool.BuildFailed || b.State == pool.BuildDeleting || b.State == pool.BuildDeleted
}

// dropDownload removes a download that nothing was added to for long, with what is
// known of it.
func dropDownload(path string, now time.Time) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || now.Sub(info.ModTime()) < downloadAge {
		return err
	}
	return errors.Join(removed(path+".json.part"), removed(path+".json"), removed(path))
}

// removed removes a file, if it is there.
func removed(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
