// Package e2e tests the programs as their users run them: poold's demo with its
// etcd and its simulated clouds, and poolctl, on free ports of the loopback
// interface. What poold claims is checked by asking etcd and the clouds, and by
// connecting to the nodes. What documents say is
// done by test/docs.
package e2e
