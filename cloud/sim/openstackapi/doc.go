// Package openstackapi serves simulated clouds over HTTP as OpenStack does:
// Keystone v3, Nova 2.1 with microversions up to 2.93, Glance v2 and Neutron
// v2.0, as far as a manager of servers and images asks. The shapes of answers
// and errors were compared with a real OpenStack Zed.
//
// One [Handler] is one Keystone with one region for each cloud:
//
//	/v3                       Keystone
//	/{region}/compute/v2.1    Nova
//	/{region}/image/v2        Glance
//	/{region}/network/v2.0    Neutron
//	/sim/...                  what tests look at and break, without a token
//
// Under /sim/, with ?region= where there are several: GET servers, images,
// floatingips, calls, quota; DELETE calls, faults; POST faults (a sim.Fault,
// durations in nanoseconds); PUT quota (a pool.Limits), PUT rate
// ({"rate": 2.5, "burst": 3}, calls a second of each service).
package openstackapi
