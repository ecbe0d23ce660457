package openstack

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"

	"go.uber.org/zap"

	"poold/cloud"
	"poold/cloud/openstack/cloudsyaml"
)

// looksBetweenLogins is how many looks pass after a failed login until the new
// credentials are tried again: keystone locks out who tries too often.
const looksBetweenLogins = 12

// fingerprint is that of all files that settings are made of.
type fingerprint struct{ clouds, tls [sha256.Size]byte }

// tlsPrint is the fingerprint of the files with certificates and keys.
func (s *settings) tlsPrint() [sha256.Size]byte {
	return (&cloudsyaml.Places{}).Print(s.CACert, s.Cert, s.Key)
}

// reading is how far the files were followed.
type reading struct {
	mu sync.Mutex // held for a whole look; guards what follows
	// done are the files that were taken over, or found unfit, last.
	done fingerprint
	// seen are the files as of the last look: what differs between two looks
	// is being written.
	seen fingerprint
	// pause counts the looks until new credentials are tried again.
	pause int
}

// Reload looks at the files once, and takes over what they say now if that is
// different, can be used, and is about the same project. Changed tells that
// the files changed and what they say is in effect. Whatever is wrong changes
// nothing, and is told once, or again with each try to log in.
//
// Calls under way end as they would have. Later ones, and those made again
// after a refused token, use the new settings; only the format of images stays
// until the next start, since images are built for it. It is meant to be
// called every few seconds.
func (d *Driver) Reload(ctx context.Context) (changed bool, err error) {
	r := &d.reading
	r.mu.Lock()
	defer r.mu.Unlock()
	now := fingerprint{d.places.Print(), d.access().settings.tlsPrint()}
	settled := now == r.seen
	r.seen = now
	switch {
	case now == r.done:
		r.pause = 0
		return false, nil
	case !settled:
		r.pause = 0
		return false, nil
	case r.pause > 0:
		r.pause--
		return false, nil
	}
	fresh, err := d.readAgain()
	if err != nil || fresh == nil {
		r.done = now
		return err == nil, err
	}
	if again, err := d.tryLogin(ctx, fresh); err != nil {
		fresh.close()
		if again {
			r.pause = looksBetweenLogins
		} else {
			r.done = now
		}
		return false, err
	}
	r.done = fingerprint{now.clouds, fresh.settings.tls}
	old := d.now.Swap(fresh)
	d.memory.forget()
	old.keystone.replace()
	old.close()
	return true, nil
}

// readAgain reads the files. It returns nil if they say nothing new of this
// cloud.
func (d *Driver) readAgain() (*access, error) {
	old := d.access().settings
	s, err := load(d.places, d.config.Cloud, d.config.Region)
	switch {
	case err != nil:
		return nil, err
	case s.Region != old.Region:
		return nil, &cloudsyaml.Problem{At: s.At, Text: fmt.Sprintf(
			"the region is now %q, not %q, where there may be servers of ours: that takes a restart", s.Region, old.Region)}
	case s.Same(old.Cloud) && s.tls == old.tls:
		return nil, nil //nolint:nilnil // nothing new, and nothing wrong
	}
	s.note(d.log)
	return newAccess(s, d.config)
}

// tryLogin logs in with new settings before anything else depends on them.
// Again says that it may work later.
func (d *Driver) tryLogin(ctx context.Context, fresh *access) (again bool, err error) {
	s := fresh.settings
	got, err := fresh.keystone.session(ctx, nil)
	if err != nil {
		return cloud.KindOf(err) != cloud.Invalid, fmt.Errorf("%s: the new settings of cloud %s are not used: %w", s.At, s.Name, err)
	}
	if had := d.access().keystone.knownProject(); had != "" && had != got.project {
		return false, &cloudsyaml.Problem{At: s.At, Text: fmt.Sprintf(
			"the project is now %s, not %s, where there may be servers of ours: that takes a restart", got.project, had)}
	}
	return false, nil
}

// note logs what a human should change some day.
func (s *settings) note(log *zap.Logger) {
	for _, n := range s.Notes {
		log.Warn("clouds.yaml", zap.Stringer("at", n.At), zap.String("note", n.Text))
	}
}
