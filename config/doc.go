// Package config turns the bytes of nodepool.yaml into a [Config]: a resolved
// and checked [pool.Catalog], and the settings of the process itself.
//
// Parsing is strict. A key that is not known, a key given twice, a value of
// the wrong type and a name that refers to nothing are errors; all errors of
// all files are returned at once, each with the place it is about:
//
//	nodepool.yaml:42:17: providers[1].pools[0].labels[2].name: there is no label "ubuntu-nobel" (did you mean "ubuntu-noble"?)
//
// What is accepted but has no meaning here is told in a [Note] instead, so
// that nodepool's own files load. Nothing downstream validates again.
//
// The package does no I/O and reads no clock: the daemon reads the files and
// hands their bytes to [Parse], which is a pure function.
//
// The known keys, with their types, defaults and documentation, are the tables
// in the keys files; docs/configuration.md and docs/nodepool.schema.json, the
// schema for editors, are generated from them. A table fills a plain struct
// that keeps the position of every value, check.go looks at references between
// those structs, and resolve.go makes the result.
package config
