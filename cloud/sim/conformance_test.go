package sim_test

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"poold/cloud"
	"poold/cloud/cloudtest"
	"poold/cloud/sim"
)

// The simulated cloud's own driver keeps the contract that real ones keep.
func TestDriverConformance(t *testing.T) {
	cloudtest.Run(t, func(t *testing.T) cloudtest.Env {
		t.Helper()
		clock := cloudtest.NewClock(time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC))
		c := sim.New(sim.Config{
			Images: []string{"noble"}, Build: sim.Always(2 * time.Second), Delete: sim.Always(2 * time.Second),
			Floating: netip.MustParsePrefix("203.0.113.0/24"), Zones: []string{"az1", "az2"}, ServerGroups: []string{"apart"},
		}, clock.Now())
		e := cloudtest.Env{
			Installation: "ours", OtherInstallation: "theirs", ImageName: "noble", Network: "private", Floats: true,
			Gate: &cloudtest.Gate{}, Settle: clock.Tick, Inject: func(f cloudtest.Fault) { c.AddFault(fault(f)) },
		}
		e.Driver = sim.NewDriver(c, clock.Now, e.Gate, e.Installation)
		e.Again = func() cloud.Driver { return sim.NewDriver(c, clock.Now, cloud.Open{}, e.Installation) }
		e.Disks = true
		e.Zone, e.Tags, e.Volumes, e.Look = "az2", true, true, func(id string) cloudtest.Made { return made(t, c, clock, id) }
		e.ServerGroup, e.ServerGroupID = "apart", c.ServerGroups()[0].ID
		e.DropKeyPair = func(name string) { _ = c.DeleteKeyPair(name) } // it may not be there
		e.Other = sim.NewDriver(c, clock.Now, cloud.Open{}, e.OtherInstallation)
		facts, err := e.Other.Facts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		e.FlavorID = facts.Flavors[0].ID
		e.ImageID, err = e.Other.FindImage(t.Context(), e.ImageName)
		if err != nil {
			t.Fatal(err)
		}
		return e
	})
}

// made is what a server of the cloud was made with.
func made(t *testing.T, c *sim.Cloud, clock *cloudtest.Clock, id string) cloudtest.Made {
	t.Helper()
	s, err := c.Server(clock.Now(), id)
	if err != nil {
		t.Fatal(err)
	}
	return cloudtest.Made{
		KeyName: s.KeyName, SecurityGroups: s.Groups, Tags: s.Tags, ServerGroupID: s.GroupID,
		ConfigDrive: s.ConfigDrive, FromVolume: s.FromVolume, Properties: s.Metadata,
	}
}

// fault says a fault of the suite in the words of the simulator.
func fault(f cloudtest.Fault) sim.Fault {
	create := sim.Fault{Kind: sim.FaultStatus, On: "POST /servers", Times: 1}
	switch f {
	case cloudtest.LostReply:
		create.Kind = sim.FaultLostReply
	case cloudtest.QuotaFull:
		create.Status = http.StatusForbidden
		create.Body = "Quota exceeded for instances: Requested 1, but already used 5 of 5 instances"
	case cloudtest.TooMany:
		create.Status, create.RetryAfter = http.StatusTooManyRequests, time.Second
	case cloudtest.Gone:
		return sim.Fault{Kind: sim.FaultStatus, On: "GET /servers/{id}", Status: http.StatusNotFound, Times: 1}
	}
	return create
}
