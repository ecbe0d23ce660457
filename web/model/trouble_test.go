package model

import (
	"slices"
	"strings"
	"testing"
	"time"

	"poold/pool"
)

// noon is when the tests look.
func noon() time.Time { return time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) }

func before(d time.Duration) time.Time { return noon().Add(-d) }

// well is an input in which nothing is wrong.
func well() *Input {
	return &Input{
		Records: &pool.Snapshot{
			Members: []*pool.Member{{Name: "one", Owns: []string{"allocator", "provider/east"}}},
			Quotas:  []*pool.Quota{{Provider: "east", At: before(time.Hour), Limits: pool.NoLimits()}},
			Builds: []*pool.Build{{
				Image: "noble", ID: "1", State: pool.BuildReady, Created: before(2 * time.Hour), Builder: "one",
			}},
		},
		Catalog: &pool.Catalog{
			Labels:    []pool.Label{{Name: "noble"}},
			Images:    []pool.Image{{Name: "noble"}},
			Providers: []pool.Provider{{Name: "east", Images: []pool.ProviderImage{{Name: "noble"}}}},
		},
		Facts: Facts{EtcdContact: before(time.Second), Clouds: map[string]Cloud{"east": {LastList: before(10 * time.Second)}}},
		Now:   noon(),
	}
}

func TestNothingIsWrong(t *testing.T) {
	for what, stage := range map[string]func(in *Input){
		"all is well":                       func(*Input) {},
		"a cloud that nobody had to ask":    func(in *Input) { in.Facts.Clouds["east"] = Cloud{LastList: before(time.Hour)} },
		"a list that is on its way":         func(in *Input) { in.Facts.Clouds["east"] = Cloud{Unanswered: before(time.Minute)} },
		"calls that were refused long ago":  func(in *Input) { in.Facts.Clouds["east"] = Cloud{PausedUntil: before(time.Hour)} },
		"a breaker of what is out of reach": func(in *Input) { in.replaced() },
		"a breaker of what is gone": func(in *Input) {
			in.replaced()
			in.Records.Builds, in.Records.Uploads = in.Records.Builds[1:], in.Records.Uploads[1:]
		},
	} {
		in := well()
		stage(in)
		if s := New(*in); len(s.Troubles) != 0 || len(s.Provider("east").Breakers) != 0 {
			t.Errorf("%s: got %+v, and breakers %+v", what, s.Troubles, s.Provider("east").Breakers)
		}
	}
}

// replaced has a build that failed been replaced by one that works.
func (in *Input) replaced() {
	in.Records.Builds = append(in.Records.Builds, &pool.Build{Image: "noble", ID: "2", State: pool.BuildReady, Created: before(0)})
	in.Records.Uploads = []*pool.Upload{
		{Image: "noble", Build: "1", Provider: "east", State: pool.UploadReady, Failing: "3 launches failed", ExternalID: "x"},
		{Image: "noble", Build: "2", Provider: "east", State: pool.UploadReady, ExternalID: "y"},
	}
	in.Breakers = []pool.Breaker{{Provider: "east", Kind: pool.KindTimeout, ImageID: "x"}}
}

// A provider whose older build fails as well as the newest is told of for that: it
// is no longer one image that is bad.
func TestFallbackFailsToo(t *testing.T) {
	in := well()
	in.replaced()
	in.Records.Uploads[1].Failing = "they fail, too"
	in.Breakers = append(in.Breakers, pool.Breaker{Provider: "east", Kind: pool.KindTimeout, ImageID: "y"})
	var got []string
	for _, t := range New(*in).Troubles {
		got = append(got, t.Class)
	}
	slices.Sort(got)
	if want := []string{"image-bad", "launches-fail"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Each trouble is told of, with who is to blame, since when, and where there is
// more to see.
func TestTroubles(t *testing.T) {
	var left []string
	for _, c := range Classes() {
		left = append(left, c.Name)
	}
	for _, c := range []struct {
		name       string
		stage      func(in *Input)
		class, of  string
		since      time.Time
		text, path string
	}{
		{"dead region", func(in *Input) {
			in.Facts.Clouds["east"] = Cloud{LastList: before(6 * time.Minute), Unanswered: before(5 * time.Minute)}
		}, "provider-silent", "east", before(5 * time.Minute), "does not answer", "/providers/east"},
		{"credentials refused", func(in *Input) {
			in.Records.Quotas[0].Trouble = "credentials refused"
			in.Facts.Clouds["east"] = Cloud{Unanswered: before(time.Hour)}
		}, "provider-trouble", "east", before(time.Hour), "credentials refused", "/providers/east"},
		{"bad image", func(in *Input) {
			in.Records.Uploads = []*pool.Upload{{
				Image: "noble", Build: "1", Provider: "east", State: pool.UploadReady, Since: before(time.Minute), Failing: "3 launches failed", ExternalID: "x",
			}}
			in.Breakers = []pool.Breaker{{Provider: "east", Kind: pool.KindInvalid, ImageID: "x", Since: before(time.Minute)}}
		}, "image-bad", "noble in east", before(time.Minute), "3 launches failed", "/images/noble"},
		{"launches fail", func(in *Input) {
			in.Records.Quotas[0].CloudImages = map[string]string{"debian": "d"}
			in.Breakers = []pool.Breaker{
				{Provider: "east", Kind: pool.KindTimeout, ImageID: "d", Since: before(time.Minute), Text: "later"},
				{Provider: "east", Kind: pool.KindTimeout, Since: before(time.Hour), Text: "9 launches failed"},
			}
		}, "launches-fail", "east", before(time.Hour), "9 launches failed; 2 kinds", "/providers/east"},
		{"cloud full", func(in *Input) {
			in.Breakers = []pool.Breaker{{Provider: "east", Kind: pool.KindCapacity, Since: before(time.Hour), Text: "no host"}}
		}, "cloud-full", "east", before(time.Hour), "east is full", "/providers/east"},
		{"quota full", func(in *Input) {
			in.wait("ci", "7", 2*time.Minute, pool.Reason{Provider: "east", Class: "quota", Text: "4 of 4 cores in use"})
			in.Records.Nodes = []*pool.Node{{ID: "a", Provider: "east", State: pool.NodeHold}}
		}, "quota-full", "east", before(2 * time.Minute), "used up: 4 of 4 cores in use; 1 request waits; 1 node is held", "/providers/east"},
		{"waits long", func(in *Input) {
			in.wait("ci", "7", time.Hour, pool.Reason{Provider: "east", Class: "building"})
		}, "waits-long", "ci/7", before(time.Hour), "building in east", "/requests/ci/7"},
		{"429 storm", func(in *Input) {
			in.Facts.Clouds["east"] = Cloud{PausedUntil: noon().Add(time.Minute)}
		}, "rate-limited", "east", time.Time{}, "until 12:01:00", "/providers/east"},
		{"stuck deletes", func(in *Input) {
			in.Records.Nodes = []*pool.Node{
				{ID: "a", Provider: "east", State: pool.NodeDeleting, Since: before(time.Hour)},
				{ID: "b", Provider: "east", State: pool.NodeDeleting, Since: before(time.Minute)},
			}
		}, "deletes-stuck", "east", before(time.Hour), "1 delete is stuck", "/nodes?state=deleting&provider=east"},
		{
			"etcd slow", func(in *Input) { in.Facts.EtcdLatency = 800 * time.Millisecond },
			"etcd-slow", "etcd",
			time.Time{},
			"800ms", "/peers",
		},
		{
			"etcd away", func(in *Input) { in.Facts.EtcdContact = before(time.Minute) },
			"etcd-away", "etcd", before(time.Minute), "does not answer", "/peers",
		},
		{"builder disk full", func(in *Input) {
			failed := &pool.Build{
				Image: "noble", ID: "2", State: pool.BuildDeleted, Created: before(time.Hour), Builder: "one",
				Error: "stopped before the disk of /images was full",
			}
			failed.Timeline = []pool.Entry[pool.BuildState]{{State: pool.BuildFailed, At: before(50 * time.Minute)}}
			in.Records.Builds = append(in.Records.Builds, failed)
		}, "build-fails", "noble", before(50 * time.Minute), "on one: stopped before the disk of /images was full", "/images/noble"},
		{"never released", func(in *Input) {
			in.Records.Nodes = []*pool.Node{{
				ID: "a", Provider: "east", Label: "noble", State: pool.NodeInUse, Since: before(13 * time.Hour),
				AllocatedTo: &pool.RequestRef{Client: "ci", ID: "1"},
			}}
		}, "never-released", "ci", before(13 * time.Hour), "client ci keeps 1 node ", "/nodes?state=in-use&client=ci"},
		{
			"frozen", func(in *Input) { in.Records.Freeze = &pool.Freeze{By: "ann", At: before(time.Hour)} },
			"frozen", "ann", before(time.Hour), "frozen by ann", "/events",
		},
		{"vanished", func(in *Input) {
			in.Records.Healths = []*pool.Health{{Provider: "east", Vanished: []pool.Vanished{{Node: "a", Since: before(time.Minute)}}}}
		}, "provider-held", "east", before(time.Minute), "1 node seems to have vanished", "/providers/east"},
		{"sweep frozen", func(in *Input) {
			in.Records.Healths = []*pool.Health{{Provider: "east", Frozen: "too many", At: before(time.Hour)}}
		}, "sweep-frozen", "east", before(time.Hour), "too many", "/providers/east"},
		{"upload fails", func(in *Input) {
			in.Records.Uploads = []*pool.Upload{{
				Image: "noble", Build: "1", Provider: "east", State: pool.UploadFailed, Since: before(time.Minute), Error: "no space",
			}}
		}, "upload-fails", "noble in east", before(time.Minute), "no space", "/images/noble"},
		{
			"nobody launches", func(in *Input) { in.Records.Members[0].Owns = []string{"allocator"} },
			NobodyDoes, "provider/east",
			time.Time{},
			"no peer launches in east", "/providers/east",
		},
		{"nobody builds", func(in *Input) {
			in.Catalog.Images = []pool.Image{{Name: "named"}, {Name: "done", URL: "u"}, {Name: "taken", SnapshotOf: &pool.SnapshotOf{Provider: "west"}}}
			in.Records.Members[0].Owns = append(in.Records.Members[0].Owns, "image/done")
		}, NobodyDoes, "image/taken", time.Time{}, "no peer builds taken: its builder needs the cloud of west", "/images/taken"},
		{
			"unreadable", func(in *Input) { in.Records.Unreadable = []string{"/poold/v1/nodes/x"} },
			"unreadable", "etcd",
			time.Time{},
			"1 record ", "/peers",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := well()
			c.stage(in)
			got := New(*in).Troubles
			i := slices.IndexFunc(got, func(t Trouble) bool { return t.Class == c.class })
			if i < 0 || len(got) != 1 {
				t.Fatalf("want just %s, got %+v", c.class, got)
			}
			g := got[i]
			left = slices.DeleteFunc(left, func(class string) bool { return class == c.class })
			if g.Severity == "" || g.Of != c.of || !g.Since.Equal(c.since) || g.Path != c.path || !strings.Contains(g.Text, c.text) {
				t.Errorf("got %+v", g)
			}
		})
	}
	if len(left) > 0 {
		t.Errorf("classes that are not tried: %v", left)
	}
}

// wait adds a request that waits.
func (in *Input) wait(client, id string, since time.Duration, why pool.Reason) {
	in.Records.Requests = append(in.Records.Requests, &pool.Request{Client: client, ID: id, CreateRevision: 3, Labels: []string{"noble"}})
	in.Records.Allocations = append(in.Records.Allocations, &pool.Allocation{
		Client: client, ID: id, RequestRevision: 3, State: pool.AllocationWaiting, Created: before(since), Reasons: []pool.Reason{why},
	})
}

// What is worse comes first, and of what is alike what lasts longer.
func TestOrderOfTroubles(t *testing.T) {
	in := well()
	in.Breakers = []pool.Breaker{{Provider: "east", Kind: pool.KindTimeout, Since: before(time.Minute)}}
	in.Records.Freeze = &pool.Freeze{By: "ann", At: before(time.Hour)}
	in.Facts.EtcdLatency = time.Second
	in.wait("ci", "1", 2*time.Hour, pool.Reason{Provider: "east", Class: "quota"})
	var got []string
	for _, t := range New(*in).Troubles {
		got = append(got, t.Class)
	}
	if want := []string{"frozen", "launches-fail", "etcd-slow", "quota-full", "waits-long"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// An image is no longer bad once its build was withdrawn, or a newer one serves.
func TestBadImageIsOver(t *testing.T) {
	for what, over := range map[string]func(r *pool.Snapshot){
		"its build was withdrawn": func(r *pool.Snapshot) { r.Builds[0].Withdrawn = "paused by ann" },
		"it was withdrawn":        func(r *pool.Snapshot) { r.Uploads[0].Withdrawn = "paused by ann" },
		"a newer one serves": func(r *pool.Snapshot) {
			r.Builds = append(r.Builds, &pool.Build{Image: "noble", ID: "2", State: pool.BuildReady, Created: before(0)})
			r.Uploads = append(r.Uploads, &pool.Upload{Image: "noble", Build: "2", Provider: "east", State: pool.UploadReady, ExternalID: "y"})
		},
	} {
		in := well()
		in.Records.Builds = []*pool.Build{{Image: "noble", ID: "1", State: pool.BuildReady, Created: before(time.Hour)}}
		in.Records.Uploads = []*pool.Upload{{
			Image: "noble", Build: "1", Provider: "east", State: pool.UploadReady, Failing: "3 launches failed", ExternalID: "x",
		}}
		in.Breakers = []pool.Breaker{{Provider: "east", Kind: pool.KindTimeout, ImageID: "x"}}
		if got := New(*in).Troubles; len(got) != 1 || got[0].Class != "image-bad" {
			t.Fatalf("%s: at first %v", what, got)
		}
		over(in.Records)
		if got := New(*in).Troubles; len(got) != 0 {
			t.Errorf("%s: it is still bad: %v", what, got)
		}
	}
}
