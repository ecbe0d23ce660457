package openstack

import (
	"context"
	"fmt"
	"net/http"
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
	onSim(t, sim.New(c, clock.Now()), clock)
	return clock
}

// onSim is inSim of a cloud that is there.
func onSim(t *testing.T, c *sim.Cloud, clock *cloudtest.Clock) {
	t.Helper()
	server := httptest.NewServer(openstackapi.New(clock.Now, c))
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
}

// writeClouds makes a text the clouds.yaml in use, and returns its path.
func writeClouds(tb testing.TB, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "clouds.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	tb.Setenv("OS_CLIENT_CONFIG_FILE", path)
	return path
}

// open opens a driver for the cloud "sim".
func open(tb testing.TB, installation string, gate cloud.Gate) *Driver {
	tb.Helper()
	d, err := Open(Config{Cloud: "sim", Installation: installation, Gate: gate, Log: zaptest.NewLogger(tb)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(d.Close)
	return d
}

// The driver keeps its contract on the simulated OpenStack.
func TestConformance(t *testing.T) {
	cloudtest.Run(t, func(t *testing.T) cloudtest.Env {
		t.Helper()
		clock := inSim(t, sim.Config{
			Images: []string{"noble"}, Build: sim.Always(2 * time.Second), Delete: sim.Always(2 * time.Second),
			Floating: netip.MustParsePrefix("203.0.113.0/24"), Zones: []string{"az1", "az2"}, ServerGroups: []string{"apart"},
		})
		e := cloudtest.Env{
			Installation: "ours", OtherInstallation: "theirs", ImageName: "noble", Network: "private", Floats: true,
			Gate: &cloudtest.Gate{}, Settle: clock.Tick,
		}
		other := open(t, e.OtherInstallation, cloud.Open{})
		e.Other = other
		e.Again = func() cloud.Driver { return open(t, e.Installation, cloud.Open{}) }
		e.Zone, e.Tags, e.Volumes, e.Disks = "az2", true, true, true
		equip(t, &e, other, "apart")
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

// equip adds to an environment what the cloud says by itself, through a driver
// whose calls are not counted; group is the server group to use.
func equip(t *testing.T, e *cloudtest.Env, d *Driver, group string) {
	t.Helper()
	e.Look = func(id string) cloudtest.Made { return made(t, d, id) }
	e.DropKeyPair = func(name string) {
		// It may not be there.
		_ = d.call(context.WithoutCancel(t.Context()), request{
			service: cloud.Compute, method: http.MethodDelete, path: "/os-keypairs/{id}", id: name, what: "delete key pair", changes: true,
		}, nil)
	}
	var groups struct {
		Groups []identified `json:"server_groups"`
	}
	r := request{service: cloud.Compute, method: http.MethodGet, path: "/os-server-groups", what: "list server groups"}
	if err := d.call(t.Context(), r, &groups); err != nil {
		t.Fatal(err)
	}
	for _, g := range groups.Groups {
		if g.Name == group {
			e.ServerGroup, e.ServerGroupID = g.Name, g.ID
		}
	}
}

// made asks for all that nova tells of a server.
func made(t *testing.T, d *Driver, id string) cloudtest.Made {
	t.Helper()
	var answer struct {
		Server struct {
			KeyName        string            `json:"key_name"`
			SecurityGroups []identified      `json:"security_groups"`
			Tags           []string          `json:"tags"`
			ServerGroups   []string          `json:"server_groups"`
			ConfigDrive    string            `json:"config_drive"`
			Image          any               `json:"image"`
			Metadata       map[string]string `json:"metadata"`
			Volumes        []struct {
				Dies bool `json:"delete_on_termination"`
			} `json:"os-extended-volumes:volumes_attached"`
		} `json:"server"`
	}
	err := d.call(t.Context(), request{
		service: cloud.Compute, method: http.MethodGet, path: "/servers/{id}", id: id, what: "get server", microversion: "2.90",
	}, &answer)
	if err != nil {
		t.Fatal(err)
	}
	s := &answer.Server
	m := cloudtest.Made{
		KeyName: s.KeyName, Tags: s.Tags, ConfigDrive: s.ConfigDrive == "True", Properties: s.Metadata,
		// A server without an image boots from its volume.
		FromVolume: s.Image == "",
	}
	for _, v := range s.Volumes {
		m.FromVolume = m.FromVolume && v.Dies
	}
	for _, g := range s.SecurityGroups {
		m.SecurityGroups = append(m.SecurityGroups, g.Name)
	}
	if len(s.ServerGroups) == 1 {
		m.ServerGroupID = s.ServerGroups[0]
	}
	return m
}
