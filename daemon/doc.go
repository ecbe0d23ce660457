// Package daemon is the only place that wires: it reads the files, opens etcd,
// joins the peers, takes on duties and runs the component of each for as long
// as it owns it, serves the web pages, and tells systemd.
//
// A duty is a key under owners/: the allocator's part, a provider, a provider's
// uploads, an image. The peer tries to acquire all that its roles and its
// configuration allow, and whoever gets a duty runs its component under a
// context that ends before the ownership can. Those that make calls to a cloud
// are taken on only with the duty to work for their rate group. When the session with etcd dies
// all duties end and are acquired anew.
//
//	files -> config -> etcd session -> duties -> components
//	                        |            `-> drivers -> guard -> clouds
//	                        `-> member, view -> web
//
// The same wiring, with etcd inside the process and simulated clouds on the
// loopback, is the demo (dev.go).
package daemon
