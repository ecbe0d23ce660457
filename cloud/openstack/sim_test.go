package openstack

import (
	"fmt"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"poold/cloud"
	"poold/cloud/cloudtest"
	"poold/cloud/sim"
	"poold/cloud/sim/openstackapi"
)

// inSim opens a simulated OpenStack on loopback, and makes a clouds.yaml with
// it, as cloud "sim", the one in use.
func inSim(t *testing.T, c sim.Config) *cloudtest.Clock {
	t.Helper()
	clock := cloudtest.NewClock(time.Now().UTC().Truncate(time.Second))
	server := httptest.NewServer(openstackapi.New(clock.Now, sim.New(c, clock.Now())))
	t.Cleanup(server.Close)
	writeClouds(t, fmt.Sprintf(`clouds:
  sim:
    auth:
      auth_url: %s/v3
      username: ci
      password: secret
      project_name: ci
      user_domain_name: Default
      project_domain_name: Default
    region_name: RegionOne
`, server.URL))
	return clock
}

// writeClouds makes a text the clouds.yaml in use, and returns its path.
func writeClouds(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clouds.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OS_CLIENT_CONFIG_FILE", path)
	return path
}

// open opens a driver for the cloud "sim".
func open(t *testing.T, installation string, gate cloud.Gate) *Driver {
	t.Helper()
	d, err := Open(Config{Cloud: "sim", Installation: installation, Gate: gate, Log: zaptest.NewLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// The driver keeps its contract on the simulated OpenStack.
func TestConformance(t *testing.T) {
	cloudtest.Run(t, func(t *testing.T) cloudtest.Env {
		t.Helper()
		clock := inSim(t, sim.Config{
			Images: []string{"noble"}, Build: sim.Always(2 * time.Second), Delete: sim.Always(2 * time.Second),
			Floating: netip.MustParsePrefix("203.0.113.0/24"),
		})
		e := cloudtest.Env{
			Installation: "ours", OtherInstallation: "theirs", ImageName: "noble", Network: "private", Floats: true,
			Gate: &cloudtest.Gate{}, Settle: clock.Tick,
		}
		other := open(t, e.OtherInstallation, cloud.Open{})
		e.Other = other
		f := fronted(t, "sim", "RegionOne")
		e.Sent, e.Inject = f.count, f.inject
		e.Driver = open(t, e.Installation, e.Gate)

		facts, err := other.Facts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		e.FlavorID = facts.Flavors[0].ID
		e.ImageID, err = other.FindImage(t.Context(), e.ImageName)
		if err != nil {
			t.Fatal(err)
		}
		return e
	})
}
