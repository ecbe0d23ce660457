package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poold/internal/golden"
	"poold/pool"
	"poold/store/kv"
)

var at = time.Date(2026, 2, 3, 4, 5, 6, 7e6, time.UTC)

// sameZone compares time zones by their names.
var sameZone = cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() })

// goldenRecord protects what is on disk at every site: a record of each kind is
// written as the file says and read as it was.
func goldenRecord[T any](t *testing.T, c kind[T], r *T) {
	t.Helper()
	k := newKeys(DefaultPrefix)
	value, err := c.encode(r, pool.RecordVersion)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := json.Indent(&text, value, "", "  "); err != nil {
		t.Fatal(err)
	}
	text.WriteByte('\n')
	golden.Equal(t, filepath.Join(versionDir(pool.RecordVersion), c.name+".json"), text.String())
	key := c.key(k, r)
	it := kv.Item{Key: key, Value: text.Bytes(), ModRevision: 9, CreateRevision: 8, Lease: 7}
	got, err := c.decode(k, k.parse(key), it)
	if err != nil {
		t.Fatal(err)
	}
	record, _ := c.meta(r)
	record.Stored = text.Bytes()
	fresh := *r
	record, version := c.meta(&fresh)
	record.Revision, *version = 0, 0
	if diff := cmp.Diff(got, c.stored(fresh, pool.RecordVersion, k.parse(key), it), sameZone); diff != "" {
		t.Errorf("%s, taken from our own write, is otherwise (-read +taken):\n%s", c.name, diff)
	}
	if diff := cmp.Diff(r, got, sameZone); diff != "" {
		t.Errorf("%s is read otherwise (-written +read):\n%s", c.name, diff)
	}
}

// versionDir has the golden records of a version. Those of every version stay.
func versionDir(version int) string { return fmt.Sprintf("testdata/v%d", version) }

func TestGolden(t *testing.T) {
	c := newCodec(pool.RecordVersion)
	rec := pool.Record{Revision: 9, Stored: json.RawMessage(`{"later":7}`)}
	ref := &pool.RequestRef{Client: "zuul", ID: "100", CreateRevision: 5}
	prio := 100
	address := pool.Address{IP: "192.0.2.1", Version: 4, Floating: true, Network: "net"}
	connection := pool.Connection{Type: "ssh", Port: 22, Username: "zuul", PythonPath: "auto", ShellType: "sh"}
	goldenRecord(t, c.nodes, &pool.Node{
		V: 1, ID: "n1", Provider: "p", Pool: "main", Label: "noble", State: pool.NodeReady, Since: at, Created: at,
		Reason: "reachable", Failure: pool.KindQuota, Evidence: "tail",
		Timeline:    []pool.Stamp{{State: pool.NodePending, At: at, By: pool.Allocator, Reason: "demand"}},
		AllocatedTo: ref, Tenant: "t", ForSet: ref, Cloud: "c", Region: "r", AZ: "az", FlavorID: "f1", Flavor: "f",
		Resources: pool.Resources{Instances: 1, Cores: 2, RAMMiB: 4096}, Image: "i", Build: "b", ImageID: "u",
		Connection: connection, Batch: "pb", BatchIndex: 1, BatchSize: 2, Canary: true, InstanceID: "s", HostID: "h", Volumes: []string{"v"},
		ExposeAsked: &at, Active: &at, Addressed: &at, Reachable: &at, Addresses: []pool.Address{address}, InterfaceIP: "192.0.2.1",
		HostKeys: []string{"ssh-ed25519 AAAA"}, Attributes: map[string]string{"a": "b"},
		HoldUntil: &at, HoldReason: "look", DeleteAsked: &at, Record: rec,
	})
	goldenRecord(t, c.requests, &pool.Request{
		V: 1, Labels: []string{"noble"}, Priority: &prio, RelativePriority: 1, Accept: pool.AcceptExplicit, Tenant: "t",
		Provider: "p", Deadline: &at, MaxLifetime: "4h", Annotations: map[string]string{"a": "b"}, Accepted: true,
		Release: []pool.NodeID{"n1"}, Hold: &pool.Hold{Nodes: []pool.NodeID{"n1"}, Reason: "look", TTL: "1h"},
		Client: "zuul", ID: "100", Leased: true, CreateRevision: 8, Record: rec,
	})
	goldenRecord(t, c.allocations, &pool.Allocation{
		V: 1, State: pool.AllocationFulfilled, Since: at, Created: at, RequestRevision: 5,
		Reasons: []pool.Reason{{Provider: "p", Class: "quota", Text: "cores"}}, Error: "e", Ignored: []string{"labels"},
		Nodes: []pool.AllocatedNode{{
			ID: "n1", Label: "noble", Provider: "p", State: "in-use", Addresses: []pool.Address{address}, Connection: connection,
		}},
		Client: "zuul", ID: "100", Record: rec,
	})
	goldenRecord(t, c.builds, &pool.Build{
		V: 1, Image: "i", ID: "b", State: pool.BuildReady, Since: at, Created: at, Builder: "peer", RecipeHash: "h",
		Artifacts: []pool.Artifact{{Format: "qcow2", Path: "b.qcow2", Bytes: 3, DiskBytes: 2, MD5: "m", SHA256: "s", SHA512: "l"}},
		Origin: &pool.Origin{
			URL: "u", ETag: "t", LastModified: "l", Provider: "p", ImageID: "x", Checksum: "md5:m", Checked: &at,
		},
		Error: "e", Log: "b.log", Username: "u", PythonPath: "auto", ShellType: "sh", Withdrawn: "by me",
		Timeline: []pool.Entry[pool.BuildState]{{State: pool.BuildReady, At: at, Reason: "built"}}, Record: rec,
	})
	goldenRecord(t, c.uploads, &pool.Upload{
		V: 1, Image: "i", Build: "b", Provider: "p", State: pool.UploadUploading, Since: at, Created: at, ExternalID: "x",
		ExternalName: "i-1", Format: "raw", Method: "put", Bytes: 3, SentBytes: 2, BytesPerSecond: 4, Expected: &at,
		Attempts: 1, Error: "e", Withdrawn: "by me", Failing: "f", Tried: []pool.NodeID{"n1"},
		Timeline: []pool.Entry[pool.UploadState]{{State: pool.UploadPending, At: at, Reason: "new"}}, Record: rec,
	})
	goldenRecord(t, c.drains, &pool.Drain{V: 1, Peer: "p", By: "me", Reason: "r", At: at, Record: rec})
	goldenRecord(t, c.offers, &pool.Offer{V: 1, Peer: "p", Record: rec, Catalog: pool.Catalog{
		Labels: []pool.Label{{Name: "noble", MinReady: 1, ReadyPercent: 10, MaxReady: 5, MaxReadyAge: time.Hour, MaxInUseAge: time.Hour, Schedule: []pool.Period{{
			Days: []time.Weekday{time.Monday}, From: time.Hour, To: 2 * time.Hour, Location: time.UTC, MinReady: 3,
		}}}},
		Tenants:    []pool.TenantLimit{{Tenant: "t", Limits: pool.NoLimits()}},
		MaxHoldAge: time.Hour,
		Providers: []pool.Provider{{
			Name: "p", Driver: "openstack", Cloud: "c", Region: "r", MaxConcurrency: 4, Priority: 100, Weight: 2,
			Images:      []pool.ProviderImage{{Name: "i", Connection: connection}},
			CloudImages: []pool.CloudImage{{Name: "ci", ID: "x", ImageName: "n", Connection: connection}},
			Pools: []pool.Pool{{
				Name: "main", Limits: pool.NoLimits(), IgnoreProviderQuota: true, AZs: []string{"az"}, AutoFloatingIP: true,
				Attributes: map[string]string{"a": "b"}, Priority: 50, Weight: 1,
				Labels: []pool.LabelSpec{{
					Name: "noble", MinReady: 1, DiskImage: "i", FlavorName: "f", MinRAMMiB: 4096, BootFromVolume: true, VolumeGB: 40, Networks: []string{"net"},
				}},
				Hosts: []pool.Host{{Name: "h", Labels: []string{"noble"}, Slots: 2, HostKeys: []string{"ssh-ed25519 AAAA"}, Checking: true, Timeout: time.Second, Connection: connection}},
			}},
		}},
	}})
	goldenRecord(t, c.pauses, &pool.Pause{V: 1, Image: "i", By: "me", Reason: "r", At: at, Record: rec})
	goldenRecord(t, c.commands, &pool.Command{
		V: 1, Verb: pool.VerbHold, Node: "n1", Target: "i", Leaks: []string{"instance/i"}, By: "me", Reason: "look", TTL: "1h", At: at, Done: true, Error: "e",
		ID: "c1", Record: rec,
	})
	limits := pool.NoLimits()
	goldenRecord(t, c.healths, &pool.Health{
		V: 1, Provider: "p", At: at, Watched: at, Frozen: "too many", FrozenSince: &at,
		Leaks: []pool.Leak{{
			Kind: "instance", ID: "i", Name: "n", Why: "w", Since: at, Created: &at, Goes: &at, ByHand: true, AgreedUntil: &at, AgreedBy: "me",
		}},
		Vanished: []pool.Vanished{{Node: "n", InstanceID: "i", Since: at, AgreedUntil: &at, AgreedBy: "me"}},
		Record:   rec,
	})
	goldenRecord(t, c.quotas, &pool.Quota{
		V: 1, Provider: "p", At: at, Asked: 7, Wanted: 6, Limits: limits, Foreign: pool.Resources{Cores: 1}, Lowered: &limits,
		Flavors: []pool.Flavor{{ID: "f1", Name: "f", Cores: 2, RAMMiB: 4096, DiskGB: 40}}, Zones: []string{"az"},
		CloudImages: map[string]string{"i": "x"}, Trouble: "t", Record: rec,
	})
	goldenRecord(t, c.penalties, &pool.Penalty{
		V: 1, Group: "g", PauseMS: 30000, Rates: map[string]float64{"compute": 4.5}, Record: rec,
	})
	goldenRecord(t, c.freezes, &pool.Freeze{V: 1, By: "me", Reason: "r", At: at, Record: rec})
	goldenRecord(t, c.members, &pool.Member{
		V: 1, Name: "peer", Roles: []pool.Role{pool.RoleLauncher}, Version: "1", Started: at, Providers: []string{"p"},
		Labels: []string{"noble"}, Images: []string{"i"}, Builds: []string{"i"}, Uploads: map[string][]string{"p": {"i"}},
		Owns: []string{"provider/p"}, Duties: []string{"allocator"},
		Prints: map[string]string{"provider/p": "0a"}, Record: rec,
	})
}

func TestDecodeRefuses(t *testing.T) {
	k, c := newKeys(DefaultPrefix), newCodec(1)
	for name, tc := range map[string]struct {
		value string
		want  error
	}{
		"a newer version":                     {`{"v":2,"id":"n","provider":"p"}`, errNewer},
		"a newer version with another layout": {`{"v":2,"id":7}`, errNewer},
		"the key of another record":           {`{"v":1,"id":"m","provider":"p"}`, errMisplaced},
	} {
		key := k.node("p", "n")
		if _, err := c.nodes.decode(k, k.parse(key), kv.Item{Key: key, Value: []byte(tc.value)}); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	if _, err := c.nodes.encode(&pool.Node{V: 2}, 1); !errors.Is(err, errNewer) {
		t.Errorf("a newer record is written back: %v", err)
	}
	shadow := &pool.Node{State: pool.NodeReady}
	shadow.Stored = json.RawMessage(`{"State":"deleted"}`)
	if value, err := c.nodes.encode(shadow, 1); err != nil || bytes.Contains(value, []byte("deleted")) {
		t.Errorf("an unknown field shadows a known one: %s, %v", value, err)
	}
}

// Whatever a client writes is answered.
func TestDefects(t *testing.T) {
	s := &Store{keys: newKeys(DefaultPrefix), codec: newCodec(pool.RecordVersion)}
	many := strings.TrimSuffix(strings.Repeat(`"l",`, pool.MaxRequestLabels+1), ",")
	for _, c := range []struct{ key, value, want string }{
		{"c/1", `{"v":1,"labels":["l"]}`, ""},
		{"c/1", `{"labels":["l"],"accept":"explicit","hold":{"nodes":["n"],"reason":"r","ttl":"1h"},"max_lifetime":"4h"}`, ""},
		{"c/1", `garbage`, "cannot be read"},
		{"c/1", ``, "cannot be read"},
		{"c/1", `null`, "no labels"},
		{"c/1", `{"labels":"l"}`, "cannot be read"},
		{"c/1", `{"v":2,"labels":["l"]}`, "version 2"},
		{"c/1", `{"v":1}`, "no labels"},
		{"c/1", `{"labels":["l",""]}`, "label 2 is empty"},
		{"c/1", `{"labels":[` + many + `]}`, "101 labels"},
		{"c/1", `{"labels":["` + strings.Repeat("l", pool.MaxRequestBytes) + `"]}`, "at most 16384"},
		{"c/1", `{"labels":["l"],"accept":"later"}`, "accept"},
		{"c/1", `{"labels":["l"],"max_lifetime":"soon"}`, "max_lifetime"},
		{"c/1", `{"labels":["l"],"max_lifetime":"-1h"}`, "max_lifetime"},
		{"c/1", `{"labels":["l"],"hold":{"ttl":"x"}}`, "hold.ttl"},
		{"c/1/2", `{"labels":["l"]}`, "slash"},
		{"c/", `{"labels":["l"]}`, "no id"},
		{"/1", `{"labels":["l"]}`, "no client"},
		{"c/\x01", `{"labels":["l"]}`, "printed"},
	} {
		key := s.keys.prefix + "requests/" + c.key
		r := s.decodeRequest(s.keys.parse(key), kv.Item{Key: key, Value: []byte(c.value), Lease: 1, ModRevision: 3, CreateRevision: 2})
		if (c.want == "") != (r.Defect == "") || !strings.Contains(r.Defect, c.want) {
			t.Errorf("%s %.60s: defect %q, want %q", c.key, c.value, r.Defect, c.want)
		}
		if r.Client+"/"+r.ID != c.key || r.Revision != 3 || r.CreateRevision != 2 || !r.Leased {
			t.Errorf("%s: lost what the key says: %+v", c.key, r)
		}
	}
	key := s.keys.request("c", "1")
	if r := s.decodeRequest(s.keys.parse(key), kv.Item{Key: key, Value: []byte(`{"labels":["l"]}`)}); !strings.Contains(r.Defect, "lease") {
		t.Errorf("neither lease nor lifetime: %q", r.Defect)
	}
}

func FuzzDecodeRequest(f *testing.F) {
	s := &Store{keys: newKeys(DefaultPrefix), codec: newCodec(pool.RecordVersion)}
	f.Add([]byte(`{"v":1,"labels":["l"],"x":{"y":1}}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		key := s.keys.request("c", "1")
		it := kv.Item{Key: key, Value: value, Lease: 1}
		r := s.decodeRequest(s.keys.parse(key), it)
		if r.Defect != "" {
			return
		}
		again, err := s.codec.requests.encode(r, pool.RecordVersion)
		if err != nil {
			t.Fatal(err)
		}
		it.Value = again
		second := s.decodeRequest(s.keys.parse(key), it)
		r.V = pool.RecordVersion
		if second.Defect == "" && fmt.Sprint(second.Labels, second.Accept) != fmt.Sprint(r.Labels, r.Accept) {
			t.Errorf("%s became %s", value, again)
		}
	})
}
