package daemon

import (
	"context"
	"slices"
	"strings"
	"time"

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
	// interval is the least time between two of their calls.
	interval time.Duration
	// Launching and uploading share no service but those that are halved.
	launching, uploading *guard.Limits
}

// enforce has the limits be those of the configuration.
func (g *rateGroup) enforce() {
	g.launching.SetInterval(g.interval)
	g.uploading.SetInterval(g.interval)
}

// inherit has the group know what the cloud of a provider taught the group that
// the provider was of before.
func (g *rateGroup) inherit(from *rateGroup, records *pool.Snapshot) {
	g.launching.Inherit(from.launching, records)
	g.uploading.Inherit(from.uploading, records)
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
func (d *Daemon) rateGroups(providers []*pool.Provider, suggest func(name, region string) (string, error)) map[string]*rateGroup {
	byName, byProvider := map[string][]*pool.Provider{}, map[string]*rateGroup{}
	for _, p := range providers {
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
		for _, p := range members {
			g.providers = append(g.providers, p.Name)
			g.interval = max(g.interval, p.Rate)
			byProvider[p.Name] = g
		}
		slices.Sort(g.providers)
		g.launching = d.limitsOf(name, g.interval)
		g.uploading = d.limitsOf("images of "+name, g.interval)
	}
	return byProvider
}

// groupDuties lists the duties of this peer that make calls to clouds, by
// group.
func (d *Daemon) groupDuties(s *setup) []duty {
	launch, upload := map[*rateGroup][]duty{}, map[*rateGroup][]duty{}
	var order []*rateGroup
	for _, p := range s.providers() {
		reach, ok := s.clouds[p.Name]
		if !ok {
			continue
		}
		if !slices.Contains(order, reach.group) {
			order = append(order, reach.group)
		}
		if p.Launches() {
			launch[reach.group] = append(launch[reach.group], d.launcherDuty(p, func(*store.Owned) cloud.Driver { return reach.driver }))
		}
		if makesImagesOf(s, p) {
			upload[reach.group] = append(upload[reach.group], d.uploaderDuty(s, p, reach))
		}
		upload[reach.group] = append(upload[reach.group], d.exportDuties(s, p, reach)...)
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
func makesImagesOf(s *setup, p *pool.Provider) bool {
	makes := func(use pool.ProviderImage) bool {
		i := s.cfg.Catalog.Image(use.Name)
		return i != nil && i.Recipe()
	}
	return len(p.Images) == 0 || slices.ContainsFunc(p.Images, makes)
}

// performGroup does the duties of a group while the group is owned: whoever has the
// group has its limits to himself.
func (d *Daemon) performGroup(ctx context.Context, session *store.Session, group duty, owned *ownedKeys, records *store.Owned) error {
	group.limits.TakeOver(records)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return group.limits.Keep(ctx, records) })
	g.Go(func() error {
		return d.holdAll(ctx, session, owned, func(s *setup) []duty {
			now, _ := find(s.duties, group.key)
			return now.members
		})
	})
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
