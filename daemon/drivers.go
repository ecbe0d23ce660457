package daemon

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"poold/allocator"
	"poold/builder"
	"poold/builder/export"
	"poold/cloud"
	"poold/cloud/openstack"
	"poold/cloud/static"
	"poold/config"
	"poold/launcher"
	"poold/pool"
	"poold/store"
	"poold/uploader"
)

// access is how the peer reaches one provider's cloud: a driver and the gate
// that all of its calls pass. Launcher and uploader of a provider share it, and
// so share its token and its limits.
type access struct {
	place    place
	driver   *openstack.Driver
	group    *rateGroup
	reloader *reloader
	metrics  *prometheus.Registry
}

// place is what an access is to; another needs another access.
type place struct {
	Cloud, Region, Group string
	Trace                bool
}

// moved tells whether a place is the same as another but for the rate group.
func (p place) moved(from place) bool {
	return p.Cloud == from.Cloud && p.Region == from.Region && p.Group != from.Group
}

// configuredDuties lists what this peer may do, by its roles and its
// configuration.
func (d *Daemon) configuredDuties(s *setup) []duty {
	var list []duty
	if slices.Contains(d.cfg.Roles, pool.RoleAllocator) {
		list = append(list, d.allocatorDuty())
	}
	list = append(list, d.groupDuties(s)...)
	if slices.Contains(d.cfg.Roles, pool.RoleLauncher) {
		list = append(list, d.staticDuties(s)...)
	}
	if slices.Contains(d.cfg.Roles, pool.RoleBuilder) {
		for i := range s.cfg.Catalog.Images {
			if image := &s.cfg.Catalog.Images[i]; image.SnapshotOf == nil && image.Recipe() {
				list = append(list, d.builderDuty(s, image, nil))
			}
		}
		for _, name := range s.kept {
			list = append(list, d.builderDuty(s, &pool.Image{Name: name}, nil))
		}
	}
	return list
}

func (d *Daemon) allocatorDuty() duty {
	const key = "allocator"
	return duty{key: key, steady: true, run: func(ctx context.Context, records *store.Owned) error {
		a := allocator.New(allocator.Config{
			Store: records, Catalog: d.united, Random: rand.Reader, Log: d.log, Registerer: d.registry.duty(key), Now: d.clock.Now,
		})
		joined, cancel := d.view.Load().SubscribePeers()
		defer cancel()
		// Before anything is stamped: whoever goes on knows what it was stamped by.
		if err := d.tellTime(ctx, records); err != nil {
			return err
		}
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return a.Run(ctx) })
		g.Go(func() error { return d.forgetOffers(ctx, records) })
		g.Go(func() error { return d.setClock(ctx, records, joined) })
		return g.Wait()
	}}
}

// launcherDuty is the duty of launching in a provider. open opens the driver
// for an owner, on the records as he finds them.
func (d *Daemon) launcherDuty(p *pool.Provider, open func(records *store.Owned) cloud.Driver) duty {
	key := "provider/" + p.Name
	return duty{key: key, provider: p.Name, print: printOf(p), steady: true, run: func(ctx context.Context, records *store.Owned) error {
		l, err := launcher.New(launcher.Config{
			Provider: *p, Installation: d.installation, Store: records, Driver: open(records),
			Random: rand.Reader, Log: d.log, Now: d.clock.Now,
			Registerer: d.registry.duty(key),
		})
		if err != nil {
			return fmt.Errorf("make the launcher: %w", err)
		}
		return l.Run(ctx)
	}}
}

// staticDuties lists the duties of launching in providers that have hosts
// instead of a cloud: they have no limits of calls, and so no group.
func (d *Daemon) staticDuties(s *setup) []duty {
	var list []duty
	reach := launcher.NewReach()
	scan := func(ctx context.Context, name string, port int) ([]string, error) {
		return reach(ctx, launcher.Target{IP: name, Port: port, Type: "ssh"})
	}
	for _, p := range s.providers() {
		if !p.Static() {
			continue
		}
		list = append(list, d.launcherDuty(p, func(records *store.Owned) cloud.Driver {
			return static.New(static.Config{
				Provider: *p, Installation: d.installation, Lent: records.Snapshot().NodesOf(p.Name),
				Scan: scan, Now: d.clock.Now, Log: d.log.Named("static"),
			})
		}))
	}
	return list
}

func (d *Daemon) uploaderDuty(s *setup, p *pool.Provider, reach *access) duty {
	key := "upload/" + p.Name
	var images []pool.Image
	for i := range s.cfg.Catalog.Images {
		image := s.cfg.Catalog.Images[i]
		if slices.ContainsFunc(p.Images, func(use pool.ProviderImage) bool { return use.Name == image.Name }) {
			images = append(images, image)
		}
	}
	return duty{key: key, uploads: true, print: printOf(p, images), run: func(ctx context.Context, records *store.Owned) error {
		return uploader.New(uploader.Config{
			Provider: *p, Peer: d.name, Installation: d.installation, Images: images,
			Driver: reach.driver, Limits: d.uploads, Shelf: d.shelf, Store: records, Random: rand.Reader, Log: d.log,
			Now: d.clock.Now, Registerer: d.registry.duty(key),
		}).Run(ctx)
	}}
}

// exportDuties lists the duties of the images that are taken out of a provider.
// Their builders call its cloud, so they are done where its images are moved.
func (d *Daemon) exportDuties(s *setup, p *pool.Provider, reach *access) []duty {
	var list []duty
	for i := range s.cfg.Catalog.Images {
		image := &s.cfg.Catalog.Images[i]
		if image.SnapshotOf != nil && image.SnapshotOf.Provider == p.Name {
			list = append(list, d.builderDuty(s, image, &export.Exporter{
				Driver: reach.driver, Provider: p.Name, Installation: d.installation,
			}))
		}
	}
	return list
}

// builderDuty builds an image, or keeps the builds of one that has no recipe.
// From is where it is taken from, if it is.
func (d *Daemon) builderDuty(s *setup, i *pool.Image, from *export.Exporter) duty {
	key := "image/" + i.Name
	made := []any{i, s.cfg.Builder}
	if from != nil {
		made = append(made, s.clouds[from.Provider].place)
	}
	return duty{key: key, print: printOf(made...), run: func(ctx context.Context, records *store.Owned) error {
		return builder.New(builder.Config{
			Image: *i, Peer: d.name, Shop: d.shop, Store: records, Random: rand.Reader, Log: d.log, Export: from,
			Dirs: dirsOf(s.cfg), Now: d.clock.Now, Registerer: d.registry.duty(key),
		}).Run(ctx)
	}}
}

// dirsOf is where builders work. What they run begins elsewhere than poold, so that
// relative names are made absolute.
func dirsOf(cfg *config.Config) builder.Dirs {
	return builder.Dirs{
		Images: absolute(cfg.Builder.ImagesDir), Elements: absolute(cfg.Builder.ElementsDir),
		Logs: absolute(cfg.Builder.LogDir), LogRetention: cfg.Builder.LogRetention,
	}
}

// absolute is a folder, or a list of them, seen from wherever a program begins.
func absolute(folders string) string {
	list := filepath.SplitList(folders)
	for i, folder := range list {
		if abs, err := filepath.Abs(folder); err == nil && folder != "" {
			list[i] = abs
		}
	}
	return strings.Join(list, string(filepath.ListSeparator))
}
