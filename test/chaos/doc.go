// Package chaos kills poold with SIGKILL, at random moments and at every
// boundary between a write to etcd and a call to a cloud, while clients ask for
// nodes, and judges afterwards what etcd and the clouds recorded meanwhile. The
// tests that kill have the build tag chaos; "make test-kill" runs them. The
// judge is tested without it. TestPartitions ("make test-chaos") does the same to
// three peers and three members of etcd in a network of their own, and freezes
// them and cuts them off, too. What that takes is a [Storm], which test/lab has,
// too, around a real OpenStack.
package chaos
