package daemon

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"poold/allocator"
	"poold/builder"
	"poold/builder/export"
	"poold/cloud"
	"poold/cloud/guard"
	"poold/cloud/openstack"
	"poold/cloud/static"
	"poold/launcher"
	"poold/pool"
	"poold/store"
	"poold/uploader"
)

// access is how the peer reaches one provider's cloud: a driver and the gate
// that all of its calls pass. Launcher and uploader of a provider share it, and
// so share its token and its limits.
type access struct {
	driver   *openstack.Driver
	group    *rateGroup
	reloader *reloader
}

// openClouds opens the access to every provider of the configuration. One that
// cannot be opened is left out, with the reason in the log: the others must not
// wait for it.
//
// An image is built in the formats that its clouds want, besides those that
// the configuration asks for.
func (d *Daemon) openClouds() map[string]*access {
	clouds := map[string]*access{}
	groups := d.rateGroups(openstack.RateGroup)
	for i := range d.cfg.Catalog.Providers {
		p := &d.cfg.Catalog.Providers[i]
		if p.Static() {
			continue // there is no cloud to be reached
		}
		registerer, log := d.registry.duty("cloud/"+p.Name), d.log.Named("openstack").With(zap.String("provider", p.Name))
		group := groups[p.Name]
		gate := guard.New(guard.Config{
			Provider: p.Name, Limits: group.launching, ImageLimits: group.uploading, Log: d.log, Registerer: registerer,
		})
		driver, err := openstack.Open(openstack.Config{
			Cloud: p.Cloud, Region: p.Region, Installation: d.installation,
			Gate: crashingGate(gate), Log: log,
		})
		if err != nil {
			d.log.Error("provider left out", zap.String("provider", p.Name), zap.Error(err))
			continue
		}
		clouds[p.Name] = &access{
			driver: driver, group: group,
			reloader: &reloader{driver: driver, pause: d.lookPause, metrics: newReloadMetrics(registerer, p.Name), log: log},
		}
		for _, use := range p.Images {
			i := d.cfg.Catalog.Image(use.Name)
			if format := driver.ImageFormat(); i != nil && !slices.Contains(i.Formats, format) {
				i.Formats = append(i.Formats, format)
			}
		}
	}
	return clouds
}

// configuredDuties lists what this peer may do, by its roles and its
// configuration.
func (d *Daemon) configuredDuties() []duty {
	var list []duty
	if slices.Contains(d.cfg.Roles, pool.RoleAllocator) {
		list = append(list, d.allocatorDuty())
	}
	list = append(list, d.groupDuties()...)
	if slices.Contains(d.cfg.Roles, pool.RoleLauncher) {
		list = append(list, d.staticDuties()...)
	}
	if slices.Contains(d.cfg.Roles, pool.RoleBuilder) {
		for i := range d.cfg.Catalog.Images {
			if image := &d.cfg.Catalog.Images[i]; image.SnapshotOf == nil && image.Recipe() {
				list = append(list, d.builderDuty(image, nil))
			}
		}
	}
	return list
}

func (d *Daemon) allocatorDuty() duty {
	const key = "allocator"
	return duty{key: key, run: func(ctx context.Context, records *store.Owned) error {
		a := allocator.New(allocator.Config{
			Store: records, Catalog: d.united, Random: rand.Reader, Log: d.log, Registerer: d.registry.duty(key),
		})
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return a.Run(ctx) })
		g.Go(func() error { return d.forgetOffers(ctx, records) })
		return g.Wait()
	}}
}

// launcherDuty is the duty of launching in a provider. open opens the driver
// for an owner, on the records as he finds them.
func (d *Daemon) launcherDuty(p *pool.Provider, open func(records *store.Owned) cloud.Driver) duty {
	key := "provider/" + p.Name
	return duty{key: key, provider: p.Name, run: func(ctx context.Context, records *store.Owned) error {
		l, err := launcher.New(launcher.Config{
			Provider: *p, Installation: d.installation, Store: records, Driver: open(records),
			Random: rand.Reader, Log: d.log,
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
func (d *Daemon) staticDuties() []duty {
	var list []duty
	reach := launcher.NewReach()
	scan := func(ctx context.Context, name string, port int) ([]string, error) {
		return reach(ctx, launcher.Target{IP: name, Port: port, Type: "ssh"})
	}
	for i := range d.cfg.Catalog.Providers {
		p := &d.cfg.Catalog.Providers[i]
		if !p.Static() {
			continue
		}
		list = append(list, d.launcherDuty(p, func(records *store.Owned) cloud.Driver {
			return static.New(static.Config{
				Provider: *p, Installation: d.installation, Lent: records.Snapshot().NodesOf(p.Name),
				Scan: scan, Now: time.Now, Log: d.log.Named("static"),
			})
		}))
	}
	return list
}

func (d *Daemon) uploaderDuty(p *pool.Provider, reach *access) duty {
	key := "upload/" + p.Name
	return duty{key: key, uploads: true, run: func(ctx context.Context, records *store.Owned) error {
		return uploader.New(uploader.Config{
			Provider: *p, Peer: d.name, Installation: d.installation, Images: d.cfg.Catalog.Images,
			Driver: reach.driver, Limits: d.uploads, Shelf: d.shelf, Store: records, Random: rand.Reader, Log: d.log,
			Registerer: d.registry.duty(key),
		}).Run(ctx)
	}}
}

// exportDuties lists the duties of the images that are taken out of a provider.
// Their builders call its cloud, so they are done where its images are moved.
func (d *Daemon) exportDuties(p *pool.Provider, reach *access) []duty {
	var list []duty
	for i := range d.cfg.Catalog.Images {
		image := &d.cfg.Catalog.Images[i]
		if image.SnapshotOf != nil && image.SnapshotOf.Provider == p.Name {
			list = append(list, d.builderDuty(image, &export.Exporter{
				Driver: reach.driver, Provider: p.Name, Installation: d.installation,
			}))
		}
	}
	return list
}

// builderDuty builds an image. From is where it is taken from, if it is.
func (d *Daemon) builderDuty(i *pool.Image, from *export.Exporter) duty {
	key := "image/" + i.Name
	return duty{key: key, run: func(ctx context.Context, records *store.Owned) error {
		return builder.New(builder.Config{
			Image: *i, Peer: d.name, Slots: d.builds, Store: records, Random: rand.Reader, Log: d.log, Export: from,
			Dirs: builder.Dirs{
				Images: d.cfg.Builder.ImagesDir, Elements: d.cfg.Builder.ElementsDir,
				Logs: d.cfg.Builder.LogDir, LogRetention: d.cfg.Builder.LogRetention,
			},
			Registerer: d.registry.duty(key),
		}).Run(ctx)
	}}
}
