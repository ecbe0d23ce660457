package survey_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"poold/cloud"
	"poold/cloud/survey"
	"poold/pool"
)

// fake is a cloud that has what it has, and fails what it fails.
type fake struct {
	names  map[cloud.NamedKind][]cloud.Named
	facts  cloud.Facts
	images []string
	lacks  []cloud.Service
	// failing are the calls that fail.
	failing []string
}

func (f *fake) fails(call string) error {
	if slices.Contains(f.failing, call) {
		return &cloud.Error{Kind: cloud.Transient, Op: call, Err: errors.New("broken")}
	}
	return nil
}

func (f *fake) Has(_ context.Context, s cloud.Service) (bool, error) {
	return !slices.Contains(f.lacks, s), f.fails("login")
}

func (f *fake) Names(_ context.Context, kind cloud.NamedKind) ([]cloud.Named, error) {
	return f.names[kind], f.fails(string(kind))
}

func (f *fake) Facts(context.Context) (cloud.Facts, error) { return f.facts, f.fails("facts") }

func (f *fake) FindImage(_ context.Context, name string) (string, error) {
	if err := f.fails("image"); err != nil || slices.Contains(f.images, name) {
		return name, err
	}
	return "", &cloud.Error{Kind: cloud.NotFound, Op: "find image"}
}

func (f *fake) ImageMeans(context.Context) (cloud.ImageMeans, error) {
	return cloud.ImageMeans{}, f.fails("means")
}

func (f *fake) ImageFormat() string { return "qcow2" }

// good is a cloud and a provider that go together.
func good() (*fake, *pool.Provider) {
	f := &fake{
		facts: cloud.Facts{Flavors: []pool.Flavor{{Name: "small", Cores: 1, RAMMiB: 2048}}, Zones: []string{"az1"}, Limits: pool.NoLimits()},
		names: map[cloud.NamedKind][]cloud.Named{
			cloud.NamedNetwork: {{ID: "n1", Name: "net"}}, cloud.NamedSecurityGroup: {{ID: "g1", Name: "open"}},
			cloud.NamedKeyPair: {{Name: "ops"}}, cloud.NamedServerGroup: {{ID: "s1", Name: "apart"}},
			cloud.NamedFormat: {{Name: "qcow2"}},
		},
		images: []string{"jammy", "noble"},
	}
	return f, &pool.Provider{
		Name: "north", Images: []pool.ProviderImage{{Name: "built"}},
		CloudImages: []pool.CloudImage{{Name: "a", ImageName: "jammy"}, {Name: "b", ID: "noble"}},
		Pools: []pool.Pool{{
			Name: "main", Limits: pool.NoLimits(), AZs: []string{"az1"}, SecurityGroups: []string{"open"},
			Labels: []pool.LabelSpec{{
				Name: "l", FlavorName: "small", CloudImage: "a", Networks: []string{"net"}, KeyName: "ops", ServerGroup: "apart",
			}},
		}},
	}
}

// What the cloud does not tell is one finding, and hides nothing of the rest.
func TestWhatIsNotToldHidesNothing(t *testing.T) {
	f, p := good()
	if found := survey.Check(t.Context(), f, p); len(found) > 0 {
		t.Fatalf("of a good provider: %v", found)
	}
	p.UploadMethod = string(cloud.ImageByStage)
	calls := []string{
		"facts", string(cloud.NamedNetwork), string(cloud.NamedSecurityGroup), string(cloud.NamedKeyPair),
		string(cloud.NamedServerGroup), "image", string(cloud.NamedFormat), "means",
	}
	f.failing = calls
	found := survey.Check(t.Context(), f, p)
	if len(found) != len(calls) {
		t.Errorf("%d things were found of %d calls that failed: %v", len(found), len(calls), found)
	}
	for i, call := range calls[:min(len(calls), len(found))] {
		if !strings.Contains(found[i].Problem, "north: the cloud does not tell ") || !strings.HasSuffix(found[i].Problem, call+": transient: broken") {
			t.Errorf("of %s it says %q", call, found[i].Problem)
		}
	}
	f.failing = append(calls, "login")
	if found := survey.Check(t.Context(), f, p); len(found) != 1 || !strings.Contains(found[0].Problem, "cannot be asked") {
		t.Errorf("of a cloud that lets nobody in: %v", found)
	}
}

// Each of these is one finding, at its place.
func TestFindings(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(f *fake, p *pool.Provider)
		path   string
		says   string
	}{
		{"no compute service", func(f *fake, _ *pool.Provider) { f.lacks = []cloud.Service{cloud.Compute} }, "region-name", "no compute service"},
		{"no object store", func(f *fake, p *pool.Provider) {
			f.lacks, p.UploadMethod = []cloud.Service{cloud.Object}, string(cloud.ImageByTask)
		}, "image-upload-method", "no object store"},
		{"two networks of a name", func(f *fake, _ *pool.Provider) {
			f.names[cloud.NamedNetwork] = []cloud.Named{{ID: "n1", Name: "net"}, {ID: "n2", Name: "net"}}
		}, "pools main labels l networks net", "has 2 networks {name}: an id is needed"},
		{"a part of a flavor's name", func(_ *fake, p *pool.Provider) {
			p.Pools[0].Labels[0].MinRAMMiB = 4096
		}, "pools main labels l flavor-name", "at least 4096 MiB"},
		{"only RAM", func(_ *fake, p *pool.Provider) {
			p.Pools[0].Labels[0].FlavorName, p.Pools[0].Labels[0].MinRAMMiB = "", 4096
		}, "pools main labels l flavor-name", "no flavor with at least 4096 MiB"},
		{"an image by id", func(f *fake, _ *pool.Provider) { f.images = []string{"jammy"} }, "cloud-images b image-id", "no active image"},
		{"a volume that is too large", func(f *fake, p *pool.Provider) {
			p.Pools[0].Labels[0].BootFromVolume, p.Pools[0].Labels[0].VolumeGB = true, 50
			f.facts.Limits.VolumeGB = 40
		}, "pools main labels l flavor-name", "not enough volume-gb"},
		{"a quota below the pool's cap", func(f *fake, p *pool.Provider) {
			f.facts.Limits.Instances, p.Pools[0].Limits.Instances = 5, 6
		}, "pools main max-servers", "may have 6, the quota of the cloud is 5"},
	} {
		f, p := good()
		c.change(f, p)
		found := survey.Check(t.Context(), f, p)
		if len(found) != 1 || strings.Join(found[0].Paths[0], " ") != "providers north "+c.path || !strings.Contains(found[0].Problem, c.says) {
			t.Errorf("%s: %+v", c.name, found)
		}
	}
}

// These are no findings.
func TestWhatIsGood(t *testing.T) {
	for name, change := range map[string]func(f *fake, p *pool.Provider){
		"by id":       func(_ *fake, p *pool.Provider) { p.Pools[0].Labels[0].Networks = []string{"n1"} },
		"every store": func(_ *fake, p *pool.Provider) { p.ImageStores = []string{"all"} },
		"a cap above an ignored quota": func(f *fake, p *pool.Provider) {
			f.facts.Limits.Instances, p.Pools[0].Limits.Instances, p.Pools[0].IgnoreProviderQuota = 0, 6, true
		},
		"nothing is uploaded": func(f *fake, p *pool.Provider) { f.names[cloud.NamedFormat], p.Images = nil, nil },
	} {
		f, p := good()
		change(f, p)
		if found := survey.Check(t.Context(), f, p); len(found) > 0 {
			t.Errorf("%s: %+v", name, found)
		}
	}
}
