// Package archtest holds the rules about the shape of the code that no linter
// knows: which package may import which, that every package says what it is
// for, that the documents' links lead somewhere, and that no file names a
// path of somebody's machine.
//
// It has tests only. The table of allowed imports is the picture of the
// architecture; ARCHITECTURE.md shows it, rewritten by
//
//	go test ./internal/archtest -update
package archtest
