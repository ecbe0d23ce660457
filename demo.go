// Package poold holds the files of the demo, so that the binary can run it
// anywhere: the configuration and the script that builds its image. The
// programs are in cmd/poold and cmd/poolctl; start reading in ARCHITECTURE.md.
package poold

import _ "embed"

// DemoConfig returns the configuration that `poold dev` runs with.
func DemoConfig() []byte { return demoConfig }

// DemoImageScript returns the script that builds the demo's image; it is
// called like diskimage-builder.
func DemoImageScript() []byte { return demoImageScript }

//go:embed nodepool.yaml
var demoConfig []byte

//go:embed deploy/demo/make-image
var demoImageScript []byte
