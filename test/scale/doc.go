// Package scale is a large installation at one moment, as records and as a
// configuration, for the tests of what must bear that: 10,000 nodes and as many
// that are gone, 100 labels, 50 clouds of which some are not well, and a queue.
package scale
