package demo

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"poold/test/proc"
)

// ReadyLimit is how long the demo may take until every node that is kept ready
// is ready, on a machine that has other things to do.
const ReadyLimit = 3 * time.Minute

// The labels of the demo, and how many of each it keeps ready.
const (
	Small      = "ubuntu-noble"
	Large      = "ubuntu-noble-large"
	SmallReady = 4
	LargeReady = 1
)

// Demo is a running "poold dev", or a part of it, with what it printed. What
// the part does not have is empty.
type Demo struct {
	*proc.Process

	// Etcd and Web are URLs, CloudsFile is the clouds.yaml.
	Etcd, Web, CloudsFile string
	Clouds                []Cloud
}

// Start runs "poold dev" with free ports and its data in dir until the test
// ends, and waits until it is ready. More arguments may follow.
func Start(tb testing.TB, poold, dir, name string, args ...string) *Demo {
	tb.Helper()
	args = append([]string{"dev", "--etcd-port", "0", "--http-port", "0", "--data-dir", filepath.Join(dir, name)}, args...)
	d := &Demo{Process: proc.Start(tb, dir, name, exec.Command(poold, args...))} //nolint:noctx,gosec // proc ends it
	proc.Await(tb, name+" is ready", ReadyLimit, func() (string, bool) { return d.Output(), d.read() }, d.Process)
	return d
}

// read takes in what was printed so far, and returns whether it ends with
// "ready".
func (d *Demo) read() bool {
	d.Clouds = nil
	for line := range strings.Lines(d.Output()) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "etcd":
			d.Etcd = rest
		case "web":
			d.Web = rest
		case "clouds":
			d.CloudsFile = rest
		case "cloud":
			name, url, _ := strings.Cut(rest, " ")
			d.Clouds = append(d.Clouds, Cloud{name, url})
		case "ready":
			return rest == ""
		}
	}
	return false
}
