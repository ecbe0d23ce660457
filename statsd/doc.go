// Package statsd tells a statsd server what nodepool told it, under nodepool's
// names, for dashboards that are there already. docs/migration.md lists the names.
//
// What happened once, a launch, a build or an upload, is told by the peer whose
// write ended it. How things stand is told every ten seconds: of the whole system by
// the peer that allocates, of a peer's own builds and uploads by that peer. So
// nothing is counted twice, however many peers there are.
//
// Nothing waits for the server: lines wait in a queue of bounded length, and what
// finds no room there is dropped and counted. Whether anybody takes a packet is not
// known: that is UDP.
package statsd
