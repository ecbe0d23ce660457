package builder

import (
	"context"
	"errors"
	"maps"
	"sync"

	"golang.org/x/sync/semaphore"

	"poold/pool"
)

// Why a build is ended that could go on.
var (
	errStopped = errors.New("poold stopped")
	errOver    = errors.New("it is over by its record")
	errAnother = errors.New("the image is built in another way by now")
)

// Shop is what the builders of a process share: how many commands may run at
// once, and the builds under way. They are work on this machine alone, and outlive
// the ownership of their images: whoever owns one here next goes on with its
// build. A shop is safe for concurrent use.
type Shop struct {
	slots *semaphore.Weighted

	mu sync.Mutex // guards works
	// works are, by image, the builds that were started here and whose outcomes
	// are not on record.
	works map[string]*work
}

// work is a build that was started here.
type work struct {
	build, recipe string
	dirs          Dirs
	// since is the revision of the write that made the record.
	since int64
	end   context.CancelCauseFunc
	// done is closed once there is an outcome.
	done    chan struct{}
	outcome outcome
}

// NewShop makes a shop that runs at most so many commands at once.
func NewShop(slots int) *Shop {
	return &Shop{slots: semaphore.NewWeighted(int64(slots)), works: map[string]*work{}}
}

// put notes what is under way for an image, nil for nothing.
func (s *Shop) put(image string, w *work) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w == nil {
		delete(s.works, image)
	} else {
		s.works[image] = w
	}
}

// of returns what is under way for an image, nil for nothing.
func (s *Shop) of(image string) *work {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.works[image]
}

// Prune ends the builds that are over by their records: another peer owned the image
// meanwhile, and knew nothing of them.
func (s *Shop) Prune(snap *pool.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for image, w := range s.works {
		if snap.Revision < w.since || goesOn(find(snap.BuildsOf(image), w.build)) {
			continue
		}
		w.end(errOver)
		if w.isDone() {
			delete(s.works, image)
		}
	}
}

// goesOn tells whether a build is not over by its record.
func goesOn(b *pool.Build) bool { return b != nil && b.State == pool.BuildBuilding }

func (w *work) isDone() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// Close ends all builds and returns when they have ended. No builder may run any
// more.
func (s *Shop) Close() {
	s.mu.Lock()
	works := maps.Clone(s.works)
	s.mu.Unlock()
	for _, w := range works {
		w.end(errStopped)
	}
	for _, w := range works {
		<-w.done
	}
}
