// Package systemd tests what poold is run by: the units of deploy/systemd here,
// the packages, with a real systemd as init, in the scripts beside it, which "make
// test-systemd" runs.
package systemd
