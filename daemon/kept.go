package daemon

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"poold/builder"
	"poold/config"
	"poold/internal/sleep"
	"poold/peers"
	"poold/pool"
)

// tidyPause is how often the disk is tidied.
const tidyPause = time.Minute

// buildable are the images of a catalog that this peer builds, if it is its turn.
func (d *Daemon) buildable(catalog *pool.Catalog) []string {
	all := []string{}
	if !slices.Contains(d.cfg.Roles, pool.RoleBuilder) {
		return all
	}
	for i := range catalog.Images {
		if image := &catalog.Images[i]; image.Recipe() {
			all = append(all, image.Name)
		}
	}
	return all
}

// unbuilt are the images that have builds on record, and that no running peer
// builds; own are those that this one does. While it is not known what another
// peer builds there are none.
func unbuilt(s *pool.Snapshot, peer string, own []string) []string {
	if slices.ContainsFunc(s.Unreadable, func(key string) bool { return strings.Contains(key, "/members/") }) {
		return nil
	}
	left := map[string]bool{}
	for _, b := range s.Builds {
		left[b.Image] = true
	}
	for _, name := range own {
		delete(left, name)
	}
	for _, m := range s.Members {
		builds := m.Builds
		if builds == nil { // it does not say
			builds = m.Images
		}
		for _, name := range builds {
			if m.Name != peer {
				delete(left, name)
			}
		}
	}
	return slices.Sorted(maps.Keys(left))
}

// keeping are the images whose builds are to be kept beside a configuration,
// because nobody builds them: somebody has to obey who wants them deleted. What
// this peer built or kept before is known to have left; the peer of any other may
// only be restarting.
func (r *fileReload) keeping(cfg *config.Config, before *setup) []string {
	if !slices.Contains(r.cfg.Roles, pool.RoleBuilder) {
		return nil
	}
	own, had := r.buildable(&cfg.Catalog), append(r.buildable(&before.cfg.Catalog), before.kept...)
	view := r.view.Load()
	if view == nil || !view.Synced() {
		return slices.DeleteFunc(slices.Clone(before.kept), func(name string) bool { return slices.Contains(own, name) })
	}
	all, now := unbuilt(view.Snapshot(), r.name, own), time.Now()
	r.unbuilt.see(all, now)
	return slices.DeleteFunc(all, func(name string) bool {
		return !slices.Contains(had, name) && now.Sub(r.unbuilt[name]) < peers.RestartGrace
	})
}

// tidy keeps this peer's disk tidy until ctx ends.
func (d *Daemon) tidy(ctx context.Context) error {
	for {
		if err := sleep.For(ctx, tidyPause); err != nil {
			return err
		}
		if err := d.tidyUp(); err != nil {
			d.log.Warn("files of builds that are gone not removed", zap.Error(err))
		}
	}
}

// tidyUp ends what this peer builds though it is gone by its record, and removes what
// its disk has of such builds. Who owns their image need not be who has their files.
func (d *Daemon) tidyUp() error {
	view, s := d.view.Load(), d.setup()
	if !view.Synced() {
		return nil
	}
	snap := view.Snapshot()
	d.shop.Prune(snap)
	return builder.Tidy(snap, builder.Home{
		Peer: d.name, Dirs: dirsOf(s.cfg), Images: s.cfg.Catalog.Images,
		Left: unbuilt(snap, d.name, d.buildable(&s.cfg.Catalog)),
	}, time.Now())
}
