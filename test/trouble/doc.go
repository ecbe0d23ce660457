// Package trouble stages what goes wrong at a site, on a running poold with
// simulated clouds and a real Prometheus: the overview must name who is to blame,
// the alert must fire, and the commands of docs/runbook.md, run as they stand
// there, must cure it. What only the operator of a cloud or of etcd can do, the
// test does in his place. Its tests have the build tag "browser" and run with
// `make test-troubles`; POOLD_SHOTS=DIR keeps pictures of the overview.
package trouble
