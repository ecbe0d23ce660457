// Package lab tests poold, as a real process beside a real etcd, against a real
// OpenStack: the one that the script "openstack" in this directory brings up.
// Nothing in here believes poold; every claim is checked by asking the cloud's
// services. The tests have the build tag lab; "make test-lab" runs them.
package lab
