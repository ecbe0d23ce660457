package daemon

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"poold/cloud/sim"
	"poold/cloud/sim/openstackapi"
	"poold/pool"
)

// asked is a site with a cloud that has all that is asked for, one that has
// nothing of it, one that is away, one that lets nobody in, and one that is not in
// clouds.yaml.
const asked = `labels: [{name: a}, {name: b}]
diskimages: [{name: noble}]
providers:
  - name: good
    cloud: good
    rate: 0
    image-stores: [fast]
    diskimages: [{name: noble}]
    cloud-images: [{name: jammy}]
    pools: &pools
      - name: main
        max-servers: 3
        max-cores: 100
        availability-zones: [az1]
        networks: [inside]
        security-groups: [open]
        labels:
          - {name: a, diskimage: noble, flavor-name: small, key-name: ops}
          - {name: b, cloud-image: jammy, min-ram: 8000, server-group: apart, boot-from-volume: true}
  - name: odd
    cloud: odd
    rate: 0
    image-upload-method: glance-direct
    image-stores: [fast]
    diskimages: [{name: noble}]
    cloud-images: [{name: jammy}]
    pools: *pools
  - name: away
    cloud: away
    rate: 0
    diskimages: [{name: noble}]
    cloud-images: [{name: jammy}]
    pools: *pools
  - name: closed
    cloud: closed
    rate: 0
    diskimages: [{name: noble}]
    cloud-images: [{name: jammy}]
    pools: *pools
  - name: unknown
    cloud: unknown
    rate: 0
    diskimages: [{name: noble}]
    cloud-images: [{name: jammy}]
    pools: *pools
`

// askedClouds serves the clouds of that site, and returns them by name.
func askedClouds(t *testing.T) map[string]*sim.Cloud {
	t.Helper()
	quota := pool.NoLimits()
	quota.Cores = 8
	clouds := map[string]*sim.Cloud{
		"good": sim.New(sim.Config{
			Network: "inside", SecurityGroups: []string{"open"}, KeyPairs: []string{"ops"}, ServerGroups: []string{"apart"},
			Zones: []string{"az1"}, Images: []string{"jammy"}, Quota: quota, Stores: []string{"fast"},
		}, time.Now()),
		"odd": sim.New(sim.Config{
			Network: "insight", SecurityGroups: []string{"shut"}, Zones: []string{"az2"}, Stores: []string{"slow"},
			Flavors: []pool.Flavor{{Name: "smal", Cores: 1, RAMMiB: 2048}, {Name: "huge", Cores: 64, RAMMiB: 8192}},
			Quota:   quota,
		}, time.Now()),
		"closed": sim.New(sim.Config{}, time.Now()),
	}
	text := "clouds:\n"
	add := func(name, url, password, format string) {
		text += fmt.Sprintf("  %s: {region_name: RegionOne, image_format: %s, auth: {auth_url: %q, username: ci, password: %s, project_name: ci, "+
			"user_domain_name: Default, project_domain_name: Default}}\n", name, format, url+"/v3", password)
	}
	for name, c := range clouds {
		server := httptest.NewServer(openstackapi.New(time.Now, c))
		t.Cleanup(server.Close)
		switch name {
		case "good":
			add(name, server.URL, "secret", "qcow2")
		case "odd":
			add(name, server.URL, "secret", "floppy")
		case "closed":
			add(name, server.URL, "wrong", "qcow2")
		}
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	add("away", gone.URL, "secret", "qcow2")
	file := filepath.Join(t.TempDir(), "clouds.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OS_CLIENT_CONFIG_FILE", file)
	return clouds
}

// All that the clouds do not have is told at once, where it is configured. What
// cannot be asked is one defect and hides none of the others. Nothing is
// changed, and no call passes by the limiter.
func TestCloudsAreAsked(t *testing.T) {
	clouds := askedClouds(t)
	core, calls := observer.New(zapcore.DebugLevel)
	var out bytes.Buffer
	file := filepath.Join(t.TempDir(), "nodepool.yaml")
	if err := os.WriteFile(file, []byte(asked), 0o600); err != nil {
		t.Fatal(err)
	}
	err := CheckOnline(t.Context(), Options{ConfigFile: file, Log: zap.New(core), Out: &out})
	if err == nil {
		t.Fatal("nothing was found")
	}
	const at = "nodepool.yaml:"
	var got []string
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSpace(line)
		line = line[strings.Index(line, at)+len(at):]
		for _, long := range []string{"cannot be asked: ", "providers[4].cloud: "} {
			if head, _, cut := strings.Cut(line, long); cut {
				line = head + long + "..." // what follows is the driver's
			}
		}
		got = append(got, line)
	}
	if diff := cmp.Diff(askedDefects(), got); diff != "" {
		t.Errorf("the defects differ (-want +got):\n%s\n%v", diff, err)
	}
	sent := 0
	for name, c := range clouds {
		for call, n := range c.Calls() {
			sent += n
			if !strings.Contains(call, " GET ") && call != "identity POST /auth/tokens" {
				t.Errorf("%s was asked to %s", name, call)
			}
		}
	}
	passed := 0
	for _, e := range calls.FilterMessage("call").All() {
		if e.ContextMap()["status"] != int64(0) {
			passed++ // it was answered
		}
	}
	if sent == 0 || passed != sent {
		t.Errorf("%d calls were sent, and %d passed the limiter", sent, passed)
	}
	want := []string{"provider away: has defects", "provider closed: has defects", "provider good: good", "provider odd: has defects", "provider unknown: has defects"}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	told := slices.Sorted(slices.Values(lines[:min(len(lines), len(want))]))
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("what was printed differs (-want +got):\n%s", diff)
	}
	for _, note := range []string{
		"max-cores: good: the pools up to this one may have 100, the quota of the cloud is 8",
		"max-cores: odd: the pools up to this one may have 100, the quota of the cloud is 8",
		"boot-from-volume: good: the catalog of the cloud has no volume service",
	} {
		if !strings.Contains(out.String(), note) {
			t.Errorf("it does not say %q:\n%s", note, out.String())
		}
	}
}

// askedDefects are those of that site. Providers share their pools by an anchor.
func askedDefects() []string {
	return []string{
		`14:30: providers[1].pools[0].availability-zones[0]: odd: the cloud has no available zone "az1" (did you mean "az2"?)`,
		`15:20: providers[1].pools[0].networks[0]: odd: the cloud has no network "inside" (did you mean "insight"?)`,
		`16:27: providers[1].pools[0].security-groups[0]: odd: the cloud has no security group "open" (there is default, shut)`,
		`18:54: providers[1].pools[0].labels[0].flavor-name: odd: the cloud has no flavor "small" (did you mean "smal"?)`,
		`18:71: providers[1].pools[0].labels[0].key-name: odd: the cloud has no key pair "ops"`,
		`19:52: providers[1].pools[0].labels[1].min-ram: odd: no node of flavor huge fits into the quota of the cloud: not enough cores`,
		`19:72: providers[1].pools[0].labels[1].server-group: odd: the cloud has no server group "apart"`,
		`23:26: providers[1].image-upload-method: odd: the cloud does not import images by "glance-direct"`,
		`24:20: providers[1].image-stores[0]: odd: the cloud has no store for images "fast" (there is slow)`,
		`25:17: providers[1].diskimages: odd: the cloud takes no images of the format "floppy", which is image_format in its clouds.yaml (did you mean "ploop"?)`,
		`26:27: providers[1].cloud-images[0].name: odd: the cloud has no active image "jammy"`,
		`29:12: providers[2].cloud: away: the cloud cannot be asked: ...`,
		`35:12: providers[3].cloud: closed: the cloud cannot be asked: ...`,
		`41:12: providers[4].cloud: ...`,
	}
}
