// Package demo runs poold for tests as its users run it: as processes, with
// "poold dev" or its parts beside a poold of its own. It reads what the
// processes print, looks into the simulated clouds at /sim/, and asks poold's
// web pages; it imports no package of poold.
package demo
