package daemon

import (
	"context"
	"slices"
	"strings"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"poold/cloud"
	"poold/cloud/guard"
	"poold/pool"
	"poold/store"
)

// rateGroup is the providers that share the rate limits of a cloud. One peer
// launches in all of them, and one, perhaps another, moves their images.
type rateGroup struct {
	name string
	// providers are those of this peer's configuration, sorted.
	providers []string
	// Launching and uploading share no service but those that are halved.
	launching, uploading *guard.Limits
}

// key names the group among the owners. Peers that have other providers of the
// group are another group: nobody could own what only they have.
func (g *rateGroup) key(kind string) string {
	return kind + "/" + g.name + ": " + strings.Join(g.providers, " ")
}

func (g *rateGroup) launchDuty(members []duty) duty {
	return duty{key: g.key("launching"), limits: g.launching, members: members}
}

func (g *rateGroup) uploadDuty(members []duty) duty {
	return duty{key: g.key("uploading"), limits: g.uploading, members: members}
}

// rateGroups returns the group of each provider. suggest is what a cloud is of
// if the configuration does not say.
func (d *Daemon) rateGroups(suggest func(name, region string) (string, error)) map[string]*rateGroup {
	byName, byProvider := map[string][]*pool.Provider{}, map[string]*rateGroup{}
	for i := range d.cfg.Catalog.Providers {
		p := &d.cfg.Catalog.Providers[i]
		if p.Static() {
			continue
		}
		name := p.RateGroup
		if name == "" {
			var err error
			if name, err = suggest(p.Cloud, p.Region); err != nil {
				name = p.Name // which cannot be opened either
			}
		}
		byName[name] = append(byName[name], p)
	}
	for name, members := range byName {
		g := &rateGroup{name: name}
		interval := members[0].Rate
		for _, p := range members {
			g.providers = append(g.providers, p.Name)
			interval = max(interval, p.Rate)
			byProvider[p.Name] = g
		}
		slices.Sort(g.providers)
		both := []cloud.Service{cloud.Identity, cloud.ImageService}
		g.launching = guard.NewLimits(name, interval, d.log, both...)
		g.uploading = guard.NewLimits("images of "+name, interval, d.log, both...)
	}
	return byProvider
}

// groupDuties lists the duties of this peer that make calls to clouds, by
// group.
func (d *Daemon) groupDuties() []duty {
	launch, upload := map[*rateGroup][]duty{}, map[*rateGroup][]duty{}
	var order []*rateGroup
	for i := range d.cfg.Catalog.Providers {
		p := &d.cfg.Catalog.Providers[i]
		reach, ok := d.clouds[p.Name]
		if !ok {
			continue
		}
		if !slices.Contains(order, reach.group) {
			order = append(order, reach.group)
		}
		if p.Launches() {
			launch[reach.group] = append(launch[reach.group], d.launcherDuty(p, func(*store.Owned) cloud.Driver { return reach.driver }))
		}
		if d.makesImagesOf(p) {
			upload[reach.group] = append(upload[reach.group], d.uploaderDuty(p, reach))
		}
		upload[reach.group] = append(upload[reach.group], d.exportDuties(p, reach)...)
	}
	var list []duty
	for _, g := range order {
		if slices.Contains(d.cfg.Roles, pool.RoleLauncher) && len(launch[g]) > 0 {
			list = append(list, g.launchDuty(launch[g]))
		}
		if slices.Contains(d.cfg.Roles, pool.RoleBuilder) && len(upload[g]) > 0 {
			list = append(list, g.uploadDuty(upload[g]))
		}
	}
	return list
}

// makesImagesOf tells whether the images of a provider can be made here: only who
// built an image has its file.
func (d *Daemon) makesImagesOf(p *pool.Provider) bool {
	makes := func(use pool.ProviderImage) bool {
		i := d.cfg.Catalog.Image(use.Name)
		return i != nil && i.Recipe()
	}
	return len(p.Images) == 0 || slices.ContainsFunc(p.Images, makes)
}

// performGroup does the duties of a group while the group is owned: whoever has the
// group has its limits to himself.
func (d *Daemon) performGroup(ctx context.Context, session *store.Session, duty duty, owned *ownedKeys, records *store.Owned) error {
	duty.limits.TakeOver(records)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return duty.limits.Keep(ctx, records) })
	for _, member := range duty.members {
		g.Go(func() error { return d.hold(ctx, session, member, owned) })
	}
	return g.Wait()
}

// letGo gives a duty back that ends before the session does: its group was
// lost.
func (d *Daemon) letGo(ctx context.Context, ownership *store.Ownership) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	if err := ownership.Release(ctx); err != nil {
		d.log.Warn("a duty is not given back", zap.String("key", ownership.Key()), zap.Error(err))
	}
}
