// Package openstack is the [cloud.Driver] for OpenStack, with all the optional
// abilities: consoles, floating IPs, images and sweeping.
//
// gophercloud does what is intricate and rare: the many ways to authenticate,
// and reading the catalog. Everything else is one small request layer of our
// own, because of what a library cannot know: a call that changes something
// must be made once, its failure must say whether it may have been done, and
// every call must pass the [cloud.Gate] under a name without ids.
//
//	Driver method -> call -> keystone (token) -> transport (gate, trace) -> net/http
//
// What a failure means is one table, in errors.go.
//
// A driver makes no call until it is used. It is safe for concurrent use.
package openstack
