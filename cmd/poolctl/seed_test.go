package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"poold/client"
	"poold/pool"
	"poold/store"
	"poold/store/kv"
	"poold/store/kv/etcdkv"
)

// seed writes records of every kind that is listed. It is the first to write,
// so that revisions are always the same.
func seed(ctx context.Context) (err error) {
	db, err := etcdkv.Open(ctx, etcdkv.Config{Endpoints: []string{endpoint}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	records := store.New(db, "", zap.NewNop())
	for _, write := range []func(context.Context, *store.Store) error{seedNodes, seedImages} {
		if err := write(ctx, records); err != nil {
			return err
		}
	}
	if err := seedPeers(ctx, db, records); err != nil {
		return err
	}
	zuul, err := client.New(db, "", "zuul")
	if err != nil {
		return err
	}
	if err := seedRequests(ctx, zuul, records); err != nil {
		return err
	}
	return errors.Join(seedLeaks(ctx, records), seedOffers(ctx, records))
}

// seedLeaks writes what sweeps found: south is frozen.
func seedLeaks(ctx context.Context, records *store.Store) error {
	at := func(d time.Duration) *time.Time {
		t := noon.Add(d)
		return &t
	}
	leak := func(kind, id, why string) pool.Leak {
		return pool.Leak{Kind: kind, ID: id, Name: "name-of-" + id, Why: why, Since: *at(-time.Minute), Created: at(-3 * time.Hour)}
	}
	due, agreed, key, young := leak("instance", "i1", "no node"), leak("instance", "i2", "no node"),
		leak("keypair", "k1", "no label"), leak("floating-ip", "f1", "no node")
	due.Goes, agreed.AgreedUntil, agreed.AgreedBy, key.ByHand, young.Goes = at(0), at(time.Hour), "ann", true, at(time.Minute)
	young.Created = nil
	_, err := records.Apply(ctx, nil, pool.Write{By: pool.Launcher, Healths: []pool.Change[pool.Health]{
		pool.Create(&pool.Health{Provider: "north", At: noon, Watched: noon, Leaks: []pool.Leak{young, due, key}}),
		pool.Create(&pool.Health{
			Provider: "south", At: noon, Watched: noon, Frozen: "2 leaks at once, more than 1", FrozenSince: at(0),
			Leaks:    []pool.Leak{leak("instance", "i1", "no node"), agreed},
			Vanished: []pool.Vanished{{Node: "a", InstanceID: "7a3e", Since: noon}},
		}),
	}})
	return err
}

// step is a move of a node after the one before it.
type step struct {
	after  time.Duration
	to     pool.NodeState
	by     pool.Actor
	change func(*pool.Node)
	reason string
}

func seedNodes(ctx context.Context, records *store.Store) error {
	launch := step{time.Second, pool.NodeBuilding, pool.Launcher, func(n *pool.Node) {
		n.Batch, n.BatchIndex, n.BatchSize = "b7", 1, 1
		n.Flavor, n.Image, n.Build, n.AZ = "small", "noble", "0001", "az1"
	}, "recorded in a batch"}
	ready := step{37 * time.Second, pool.NodeReady, pool.Launcher, func(n *pool.Node) {
		n.InstanceID, n.InterfaceIP = "7a3e", "192.0.2.7"
		n.Connection = pool.Connection{Type: "ssh", Port: 22, Username: "zuul"}
		n.HostKeys = []string{"ssh-ed25519 AAAAC3"}
	}, "reachable"}
	given := step{10 * time.Minute, pool.NodeInUse, pool.Allocator, func(n *pool.Node) {
		n.AllocatedTo = &pool.RequestRef{Client: "zuul", ID: "099", CreateRevision: 2}
	}, "given to zuul/099"}
	failed := step{2 * time.Minute, pool.NodeFailed, pool.Launcher, func(n *pool.Node) {
		n.Failure, n.Evidence = pool.KindUnreachable, "Kernel panic - not syncing"
	}, "port 22 did not answer"}
	gone := step{3 * time.Minute, pool.NodeDeleted, pool.Allocator, nil, "no longer wanted"}
	for i, life := range [][]step{nil, {launch, ready}, {launch, ready, given}, {gone}, {launch, failed}} {
		if err := live(ctx, records, pool.NodeID(fmt.Sprint("n", i+1)), life); err != nil {
			return err
		}
	}
	return nil
}

// live writes every version of a node.
func live(ctx context.Context, records *store.Store, id pool.NodeID, life []step) error {
	at := noon.Add(-30 * time.Minute)
	node := &pool.Node{ID: id, Provider: "north", Pool: "main", Label: "noble", Created: at, Reason: "demand"}
	node.State, node.Since = pool.NodePending, at
	node.Timeline = []pool.Stamp{{State: pool.NodePending, At: at, By: pool.Allocator, Reason: "demand"}}
	revision, err := records.Apply(ctx, nil, pool.Write{By: pool.Allocator, Nodes: []pool.Change[pool.Node]{pool.Create(node)}})
	for _, s := range life {
		if err != nil {
			return err
		}
		at = at.Add(s.after)
		node.Revision = revision
		next := node.Moved(s.to, s.by, s.reason, at)
		if s.change != nil {
			s.change(next)
		}
		revision, err = records.Apply(ctx, nil, pool.Write{By: s.by, Nodes: []pool.Change[pool.Node]{pool.Update(node, next)}})
		node = next
	}
	return err
}

func seedImages(ctx context.Context, records *store.Store) error {
	at := noon.Add(-26 * time.Hour)
	made := &pool.Build{Image: "noble", ID: "0001", State: pool.BuildBuilding, Since: at, Created: at, Builder: "one", Log: "/var/log/noble-0001.log"}
	made.Timeline = []pool.Entry[pool.BuildState]{{State: pool.BuildBuilding, At: at, Reason: "there is no ready build"}}
	revision, err := records.Apply(ctx, nil, pool.Write{By: pool.Builder, Builds: []pool.Change[pool.Build]{pool.Create(made)}})
	if err != nil {
		return err
	}
	made.Revision = revision
	done := made.Moved(pool.BuildReady, at.Add(time.Hour)).Because("every format is there")
	done.Artifacts = []pool.Artifact{{Format: "qcow2", Path: "/images/noble-0001.qcow2", Bytes: 3 << 30, SHA256: "ab"}, {Format: "raw", Bytes: 900}}
	if _, err := records.Apply(ctx, nil, pool.Write{By: pool.Builder, Builds: []pool.Change[pool.Build]{pool.Update(made, done)}}); err != nil {
		return err
	}
	broken := &pool.Build{Image: "noble", ID: "0002", State: pool.BuildBuilding, Since: noon.Add(-90 * time.Second), Created: at, Error: "exit 1\nmore"}
	if _, err := records.Apply(ctx, nil, pool.Write{By: pool.Builder, Builds: []pool.Change[pool.Build]{pool.Create(broken)}}); err != nil {
		return err
	}
	if err := seedUpload(ctx, records, "north", pool.UploadUploading, pool.UploadReady); err != nil {
		return err
	}
	if err := seedUpload(ctx, records, "south", pool.UploadUploading); err != nil {
		return err
	}
	if err := seedUpload(ctx, records, "west", pool.UploadFailed, pool.UploadDeleting, pool.UploadDeleted); err != nil {
		return err
	}
	_, err = records.Apply(ctx, nil, pool.Write{By: pool.Operator, Pauses: []pool.Change[pool.Pause]{
		pool.Create(&pool.Pause{Image: "noble", By: "ann", Reason: "the mirror is broken", At: noon.Add(-10 * time.Minute)}),
	}})
	return err
}

// seedUpload writes every version of an upload.
func seedUpload(ctx context.Context, records *store.Store, provider string, life ...pool.UploadState) error {
	at := noon.Add(-24 * time.Hour)
	u := &pool.Upload{Image: "noble", Build: "0001", Provider: provider, State: pool.UploadPending, Since: at, Created: at, Bytes: 3 << 30}
	revision, err := records.Apply(ctx, nil, pool.Write{By: pool.Uploader, Uploads: []pool.Change[pool.Upload]{pool.Create(u)}})
	for _, to := range life {
		if err != nil {
			return err
		}
		u.Revision = revision
		next := u.Moved(to, u.Since.Add(15*time.Minute))
		next.ExternalID, next.ExternalName = "img-"+provider, "noble-0001"
		switch to {
		case pool.UploadUploading:
			next.SentBytes, next.BytesPerSecond, next.Expected = 1500<<20, 12<<20, new(noon.Add(131*time.Second))
		case pool.UploadReady:
			next.SentBytes, next.BytesPerSecond, next.Expected = next.Bytes, 0, nil
		case pool.UploadFailed:
			next.Error = "the cloud refused the data\nmore"
			next = next.Because("the cloud refused the data")
		case pool.UploadDeleting:
			next.Withdrawn = "deleted by ann: it panics"
			next = next.Because(next.Withdrawn)
		case pool.UploadPending, pool.UploadTrial, pool.UploadDeleted:
		}
		revision, err = records.Apply(ctx, nil, pool.Write{By: pool.Uploader, Uploads: []pool.Change[pool.Upload]{pool.Update(u, next)}})
		u = next
	}
	return err
}

func seedPeers(ctx context.Context, db kv.KV, records *store.Store) error {
	for _, m := range []pool.Member{
		{
			Name: "one", Version: "v1.0.0", Started: noon.Add(-50 * time.Hour), Configured: noon.Add(-3 * time.Minute), Roles: []pool.Role{pool.RoleAllocator}, Owns: []string{"allocator", "provider/north"},
			Prints: map[string]string{"provider/north": "a", "provider/south": "a", "label/x": "a"},
		},
		{Name: "two", Version: "v1.0.1", Started: noon.Add(-5 * time.Minute), Providers: []string{"south"}, Prints: map[string]string{"provider/south": "b", "label/x": "a"}},
	} {
		// Nobody keeps the session alive: it lives for as long as tests may take.
		session, err := store.OpenSession(ctx, db, time.Hour, zap.NewNop())
		if err != nil {
			return err
		}
		if err := records.PutMember(ctx, session, &m); err != nil {
			return err
		}
	}
	return nil
}

// seedRequests writes one request that was answered, one that waits, and one
// that nobody has seen.
func seedRequests(ctx context.Context, zuul *client.Client, records *store.Store) error {
	for _, id := range []string{"099", "100", "101"} {
		want := pool.Request{Labels: []string{"noble", "noble"}, MaxLifetime: "4h", Priority: new(100)}
		req, err := zuul.Create(ctx, id, want, 0)
		if err != nil {
			return err
		}
		answer := &pool.Allocation{
			Client: "zuul", ID: id, State: pool.AllocationWaiting, Since: noon, Created: noon, RequestRevision: req.Ref().CreateRevision,
		}
		switch id {
		case "099":
			answer.State = pool.AllocationFulfilled
			answer.Nodes = []pool.AllocatedNode{{ID: "n3", Label: "noble", Provider: "north", State: "in-use", InterfaceIP: "192.0.2.7"}}
		case "100":
			answer.Reasons = []pool.Reason{
				{Provider: "north", Class: "quota", Text: "no quota for 2 instances"},
				{Provider: "south", Class: "paused", Text: "paused by hand"},
			}
		case "101":
			continue
		}
		if _, err := records.Apply(ctx, nil, pool.Write{By: pool.Allocator, Allocations: []pool.Change[pool.Allocation]{pool.Create(answer)}}); err != nil {
			return err
		}
	}
	return nil
}

// seedOffers writes what the file of a peer has that runs, and of one that does
// not.
func seedOffers(ctx context.Context, records *store.Store) error {
	west := pool.Catalog{Providers: []pool.Provider{{Name: "west"}, {Name: "south"}}}
	if err := records.PutOffer(ctx, &pool.Offer{Peer: "two", Catalog: pool.Catalog{Providers: west.Providers[1:]}}); err != nil {
		return err
	}
	return records.PutOffer(ctx, &pool.Offer{Peer: "three", Catalog: west})
}
