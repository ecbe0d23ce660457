package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"poold/cloud/sim"
	"poold/cloud/sim/openstackapi"
	"poold/pool"
)

const (
	// demoSSHPort is where the demo's servers answer, each on a loopback
	// address of its own; the demo's configuration names it too.
	demoSSHPort = 10022
	// The servers of the demo's clouds have addresses in one 127.X.0.0/16 per
	// cloud, X from firstNet up to lastNet: whichever are free.
	firstNet, lastNet byte = 65, 250
	demoPassword           = "demo-password"
	ownerOnlyFile          = 0o600
)

// demoCloud is what a cloud of the demo is like: one fast and large, one slow,
// one small.
func demoClouds() []sim.Config {
	quota := func(instances int64) pool.Limits {
		l := pool.NoLimits()
		l.Instances, l.Cores, l.RAMMiB = instances, 4*instances, 8192*instances
		return l
	}
	dist := func(low, mean, high time.Duration) sim.Dist { return sim.Dist{Min: low, Mean: mean, Max: high} }
	const ms = time.Millisecond
	return []sim.Config{
		{
			Name: "demo-north", Zones: []string{"az1", "az2"}, Quota: quota(30), ImageFormat: "raw",
			Build: dist(500*ms, 1000*ms, 3000*ms), Boot: dist(300*ms, 600*ms, 2000*ms),
			Delete: dist(200*ms, 500*ms, 2000*ms), Latency: dist(5*ms, 15*ms, 100*ms),
		},
		{
			// It wants its images made by tasks, of objects of a MiB at most.
			Name: "demo-south", Quota: quota(20), MaxObject: 1 << 20, TaskTime: 2000 * ms,
			Build: dist(2000*ms, 4000*ms, 8000*ms), Boot: dist(1000*ms, 2000*ms, 4000*ms),
			Delete: dist(500*ms, 1000*ms, 3000*ms), Latency: dist(50*ms, 100*ms, 400*ms),
		},
		{
			Name: "demo-west", Quota: quota(8), Imports: []string{"glance-direct"}, Stores: []string{"fast", "slow"},
			Build: dist(1000*ms, 2000*ms, 5000*ms), Boot: dist(500*ms, 1000*ms, 3000*ms),
			Delete: dist(500*ms, 1000*ms, 3000*ms), Latency: dist(20*ms, 40*ms, 200*ms),
		},
	}
}

// startClouds serves the demo's clouds until ctx ends, writes a clouds.yaml
// that leads to them, and makes it the one that drivers read.
func (d *demo) startClouds(ctx context.Context, g *errgroup.Group) error {
	entries := map[string]any{}
	next := firstNet
	for i, cfg := range demoClouds() {
		reserved, net16, err := reserveNet(ctx, &next)
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { _ = reserved.Close() }) // it only kept the addresses
		cfg.Seed, cfg.Fixed, cfg.SSHPort = uint64(i+1), net16, demoSSHPort
		cfg.Password = demoPassword
		api, err := listen(ctx, "127.0.0.1:0")
		if err != nil {
			return err
		}
		simulated := sim.New(cfg, time.Now())
		g.Go(func() error { return openstackapi.Serve(ctx, api, openstackapi.New(time.Now, simulated)) })
		g.Go(func() error { return sim.NewSSHD(simulated, time.Now).Run(ctx) })
		url := "http://" + api.Addr().String()
		d.say("cloud " + cfg.Name + " " + url)
		entries[cfg.Name] = cloudEntry(url, &cfg)
	}
	return d.writeClouds(entries)
}

// reserveNet finds a 127.X.0.0/16 from *next on that no other demo uses, and
// keeps it by listening on its last address.
func reserveNet(ctx context.Context, next *byte) (net.Listener, netip.Prefix, error) {
	var lc net.ListenConfig
	for ; *next <= lastNet; *next++ {
		x := *next
		last := netip.AddrFrom4([4]byte{127, x, 255, 254})
		l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(last.String(), strconv.Itoa(demoSSHPort)))
		if err == nil {
			*next++
			return l, netip.PrefixFrom(netip.AddrFrom4([4]byte{127, x, 0, 0}), 16), nil
		}
	}
	return nil, netip.Prefix{}, fmt.Errorf("no free loopback network from 127.%d to 127.%d for port %d",
		firstNet, lastNet, demoSSHPort)
}

func cloudEntry(url string, cfg *sim.Config) map[string]any {
	return map[string]any{
		"region_name":         "RegionOne",
		"image_format":        cmp.Or(cfg.ImageFormat, "qcow2"),
		"image_api_use_tasks": cfg.MaxObject > 0,
		"auth": map[string]any{
			"auth_url": url + "/v3", "username": "ci", "password": demoPassword, "project_name": "ci",
			"user_domain_name": "Default", "project_domain_name": "Default",
		},
	}
}

// writeClouds writes clouds.yaml (JSON is YAML) and points the drivers to it.
func (d *demo) writeClouds(entries map[string]any) error {
	data, err := json.MarshalIndent(map[string]any{"clouds": entries}, "", "  ")
	if err != nil {
		return fmt.Errorf("write clouds.yaml: %w", err)
	}
	name := filepath.Join(d.dir, "clouds.yaml")
	if err := os.WriteFile(name, append(data, '\n'), ownerOnlyFile); err != nil {
		return fmt.Errorf("write clouds.yaml: %w", err)
	}
	if err := os.Setenv("OS_CLIENT_CONFIG_FILE", name); err != nil {
		return fmt.Errorf("point to clouds.yaml: %w", err)
	}
	d.say("clouds " + name)
	return nil
}
