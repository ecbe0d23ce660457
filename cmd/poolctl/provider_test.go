package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"poold/internal/golden"
	"poold/pool"
	"poold/store"
	"poold/store/kv"
)

// seedTroubled writes a provider of which there is something of everything to
// say.
func seedTroubled(ctx context.Context, db kv.KV, records *store.Store) error {
	const group = "https://keystone/v3 ci RegionOne"
	session, err := store.OpenSession(ctx, db, time.Hour, zap.NewNop())
	if err != nil {
		return err
	}
	if err := records.PutMember(ctx, session, &pool.Member{
		Name: "one", Providers: []string{"north"}, Owns: []string{"allocator", "provider/north", "upload/north"},
		Duties: []string{"launching/" + group + ": east north", "uploading/" + group + ": east north"},
	}); err != nil {
		return err
	}
	if err := records.PutOffer(ctx, &pool.Offer{Peer: "one", Catalog: pool.Catalog{Providers: []pool.Provider{{
		Name: "north", Cloud: "cumulus", Region: "RegionOne", Driver: pool.DriverOpenStack, Rate: 250 * time.Millisecond,
		Pools: []pool.Pool{{Name: "main"}},
	}}}}); err != nil {
		return err
	}
	full := step{2 * time.Minute, pool.NodeFailed, pool.Launcher, func(n *pool.Node) {
		n.Failure, n.AZ, n.FlavorID = pool.KindCapacity, "az1", "small"
	}, "No valid host was found"}
	for i := range 2 {
		if err := live(ctx, records, pool.NodeID(fmt.Sprint("f", i)), []step{
			{time.Second, pool.NodeBuilding, pool.Launcher, nil, "recorded in a batch"}, full,
		}); err != nil {
			return err
		}
	}
	if err := seedUpload(ctx, records, "north", pool.UploadUploading); err != nil {
		return err
	}
	limits := pool.NoLimits()
	limits.Instances, limits.Cores = 20, 40
	_, err = records.Apply(ctx, nil, pool.Write{
		By: pool.Launcher,
		Quotas: []pool.Change[pool.Quota]{pool.Create(&pool.Quota{
			Provider: "north", At: noon.Add(-time.Minute), Limits: limits, Foreign: pool.Resources{Instances: 3},
		})},
		Healths:   []pool.Change[pool.Health]{pool.Create(&pool.Health{Provider: "north", At: noon.Add(-5 * time.Minute), Leaks: []pool.Leak{{Kind: "port", ID: "p"}}})},
		Penalties: []pool.Change[pool.Penalty]{pool.Create(&pool.Penalty{Group: group, PauseMS: 3000, Rates: map[string]float64{"compute": 2.5}})},
		Pauses:    []pool.Change[pool.Pause]{pool.Create(&pool.Pause{Provider: "north", By: "ann", Reason: "maintenance", At: noon.Add(-time.Hour)})},
	})
	return err
}

// All that keeps a provider from giving nodes is on one page.
func TestProviderShow(t *testing.T) {
	name, db, records := prefix(t)
	if err := seedTroubled(t.Context(), db, records); err != nil {
		t.Fatal(err)
	}
	for file, line := range map[string]string{"provider-show": "provider show north", "provider-show-yaml": "provider show north -o yaml"} {
		got, err := poolctl(t, append(strings.Fields(line), "--prefix", name)...)
		if err != nil {
			t.Fatal(err)
		}
		golden.Equal(t, filepath.Join("testdata", file+".txt"), got)
	}
	if _, err := poolctl(t, "provider", "show", "none", "--prefix", name); exitCode(err) != exitNotFound {
		t.Errorf("of a provider that is not there: %v", err)
	}
}

// seedGone writes what a provider left behind that no peer has any more: more
// records than one transaction has.
func seedGone(t *testing.T, records *store.Store) {
	t.Helper()
	launched := step{time.Second, pool.NodeBuilding, pool.Launcher, nil, "recorded in a batch"}
	ready := step{time.Minute, pool.NodeReady, pool.Launcher, nil, "reachable"}
	lives := [][]step{
		{},
		{launched},
		{launched, ready},
		{launched, {time.Minute, pool.NodeFailed, pool.Launcher, nil, "did not answer"}},
		{launched, ready, {time.Minute, pool.NodeDeleting, pool.Operator, nil, "deleted by hand"}},
		{launched, ready, {time.Minute, pool.NodeInUse, pool.Allocator, nil, "given"}, {time.Minute, pool.NodeUsed, pool.Allocator, nil, "released"}},
	}
	for len(lives) < erasedAtOnce+1 {
		lives = append(lives, nil)
	}
	for i, life := range lives {
		if err := live(t.Context(), records, pool.NodeID(fmt.Sprint("n", i)), life); err != nil {
			t.Fatal(err)
		}
	}
	if err := seedUpload(t.Context(), records, "north", pool.UploadUploading, pool.UploadReady); err != nil {
		t.Fatal(err)
	}
	if _, err := records.Apply(t.Context(), nil, pool.Write{
		By:      pool.Launcher,
		Quotas:  []pool.Change[pool.Quota]{pool.Create(&pool.Quota{Provider: "north", At: noon}), pool.Create(&pool.Quota{Provider: "south", At: noon})},
		Healths: []pool.Change[pool.Health]{pool.Create(&pool.Health{Provider: "north", At: noon})},
		Pauses:  []pool.Change[pool.Pause]{pool.Create(&pool.Pause{Provider: "north", By: "ann", At: noon})},
	}); err != nil {
		t.Fatal(err)
	}
}

// What a provider left behind is forgotten once its number was said, and nothing
// else is.
func TestErase(t *testing.T) {
	for _, line := range []string{"provider erase north --confirm 55", "erase north --force"} {
		name, _, records := prefix(t)
		seedGone(t, records)
		if err := seedUpload(t.Context(), records, "west", pool.UploadFailed); err != nil {
			t.Fatal(err)
		}
		run := func(line string, code int, says string) {
			t.Helper()
			out, err := poolctl(t, append(strings.Fields(line), "--prefix", name)...)
			got := 0
			if err != nil {
				got = exitCode(err)
				out += err.Error()
			}
			if got != code || !strings.Contains(out, says) {
				t.Errorf("poolctl %s: exit code %d, want %d:\n%s", line, got, code, out)
			}
		}
		run("provider erase north", 0, "Nothing was done. For these: --confirm 55")
		run("provider erase north --dry-run -o name", 0, "n5\n")
		run("provider erase north --confirm 54", exitRefused, "it is 55 now")
		run("provider erase east", exitNotFound, "no such record")
		run(line, 0, "north\n")
		run(line, exitNotFound, "no such record")
		s, err := records.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range s.Nodes {
			if n.State != pool.NodeDeleted || n.State == pool.NodeDeleted && !strings.Contains(n.Reason, "its provider is gone") {
				t.Errorf("node %s is %s: %s", n.ID, n.State, n.Reason)
			}
		}
		if len(s.Nodes) != erasedAtOnce+1 || len(s.Uploads) != 1 || s.Quota("north") != nil || s.Quota("south") == nil ||
			s.Health("north") != nil || s.ProviderPause("north") != nil {
			t.Errorf("%d nodes, %d uploads, quotas %v, healths %v, pauses %v are left", len(s.Nodes), len(s.Uploads), s.Quotas, s.Healths, s.Pauses)
		}
	}
}

// Whoever may need a provider keeps it from being erased.
func TestEraseIsRefused(t *testing.T) {
	given := []step{
		{time.Second, pool.NodeBuilding, pool.Launcher, nil, ""},
		{time.Minute, pool.NodeReady, pool.Launcher, nil, ""},
		{time.Minute, pool.NodeInUse, pool.Allocator, nil, ""},
	}
	for _, c := range []struct {
		name  string
		write func(ctx context.Context, db kv.KV, records *store.Store) error
		says  string
	}{
		{"a peer that runs", func(ctx context.Context, db kv.KV, records *store.Store) error {
			session, err := store.OpenSession(ctx, db, time.Hour, zap.NewNop())
			if err != nil {
				return err
			}
			return records.PutMember(ctx, session, &pool.Member{Name: "one", Providers: []string{"north"}})
		}, "peer one has it in its configuration"},
		{"a peer that is away", func(ctx context.Context, _ kv.KV, records *store.Store) error {
			return records.PutOffer(ctx, &pool.Offer{Peer: "three", Catalog: pool.Catalog{Providers: []pool.Provider{{Name: "north"}}}})
		}, "poolctl peer forget three"},
		{"a client", func(ctx context.Context, _ kv.KV, records *store.Store) error {
			return live(ctx, records, "given", given)
		}, "1 of its nodes are in use or held"},
		{"a human", func(ctx context.Context, _ kv.KV, records *store.Store) error {
			return live(ctx, records, "held", append(given[:2:2], step{time.Minute, pool.NodeHold, pool.Operator, nil, ""}))
		}, "1 of its nodes are in use or held"},
	} {
		name, db, records := prefix(t)
		if err := live(t.Context(), records, "n1", given[:1]); err != nil {
			t.Fatal(err)
		}
		if err := c.write(t.Context(), db, records); err != nil {
			t.Fatal(err)
		}
		_, err := poolctl(t, "erase", "north", "--force", "--prefix", name)
		if exitCode(err) != exitRefused || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
		s, err := records.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range s.Nodes {
			if n.State == pool.NodeDeleted {
				t.Errorf("%s: node %s was forgotten", c.name, n.ID)
			}
		}
	}
}
