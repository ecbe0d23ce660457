package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"poold/test/etcd"
	"poold/test/proc"
)

// gatedBuild is a build command: it says that it runs, and waits until it may end.
// Its first argument is its name.
const gatedBuild = `#!/bin/sh
name=$1
while [ $# -gt 0 ]; do case $1 in -o) out=$2; shift;; esac; shift; done
echo run >> "%[1]s/$name.runs"
while [ ! -e "%[1]s/$name.go" ]; do sleep 0.1; done
echo data > "$out.raw"
`

const gatedConfig = `
name: one
roles: [builder]
images-dir: %[1]s/images
build-log-dir: %[1]s/logs
etcd: {endpoints: [%[2]q], lease-ttl: 3s}
webapp: {listen_address: 127.0.0.1, port: %[3]d}
diskimages:
  - {name: early, dib-cmd: "%[1]s/make-it early", formats: [raw]}
  - {name: late, dib-cmd: "%[1]s/make-it late", formats: [raw]}
`

// Builds go on while etcd is away for longer than a lease, and are on record when it
// is back, whether they ended before or end then. It is so whether etcd is dead or
// only silent.
func TestBuildOutlivesEtcd(t *testing.T) {
	t.Parallel()
	cluster := etcd.StartCluster(t, etcd.Options{})
	dir, port := t.TempDir(), proc.FreePorts(t, 1)[0]
	for name, text := range map[string]string{
		"make-it":       fmt.Sprintf(gatedBuild, dir),
		"nodepool.yaml": fmt.Sprintf(gatedConfig, dir, cluster.Endpoints()[0], port),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(poold(), "-c", filepath.Join(dir, "nodepool.yaml"))
	peer := proc.Start(t, dir, "poold", cmd)
	w := &world{t: t, etcd: cluster.Endpoints()[0], web: proc.Loopback(port), needs: []*proc.Process{peer}}
	g := &gates{world: w, dir: dir}
	g.begun(1)
	for n, c := range []struct {
		what       string
		leave, end func()
	}{
		{"dead", cluster.Members[0].Kill, func() { cluster.Start(0) }},
		{"silent", func() { w.signal(cluster, syscall.SIGSTOP) }, func() { w.signal(cluster, syscall.SIGCONT) }},
	} {
		c.leave()
		w.isAway(c.what)
		g.open("early")
		w.await("one build has ended without etcd", answerLimit, func() (string, bool) {
			logs := g.logs("early")
			return logs, strings.Count(logs, "poold: done") > n
		})
		c.end()
		cluster.AwaitHealth()
		g.ready("early", n+1)
		g.open("late")
		g.ready("late", n+1)
		for _, image := range []string{"early", "late"} {
			if runs := g.runs(image); runs != n+1 {
				t.Fatalf("%s: the command of %s was run %d times for %d builds", c.what, image, runs, n+1)
			}
			g.shut(image)
			w.poolctl(exitDone, "image", "build", image)
		}
		g.begun(n + 2)
	}
	stop(t, peer)
	if logs := g.logs("late"); !strings.Contains(logs, "poold: failed: poold stopped") {
		t.Errorf("no build ended with poold: %s", logs)
	}
}

// gates are where the builds of two images wait.
type gates struct {
	*world

	dir string
}

// open lets the builds of an image end, and shut does not.
func (g *gates) open(image string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, image+".go"), nil, 0o600); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gates) shut(image string) {
	g.t.Helper()
	if err := os.Remove(filepath.Join(g.dir, image+".go")); err != nil {
		g.t.Fatal(err)
	}
}

// runs is how often the command of an image has begun.
func (g *gates) runs(image string) int {
	text, _ := os.ReadFile(filepath.Join(g.dir, image+".runs")) // there is none at first
	return strings.Count(string(text), "run\n")
}

// begun waits until both commands have begun so often.
func (g *gates) begun(n int) {
	g.t.Helper()
	g.await("both images are being built", answerLimit, func() (string, bool) {
		return fmt.Sprint(g.runs("early"), g.runs("late")), g.runs("early") >= n && g.runs("late") >= n
	})
}

// logs are those of an image's builds.
func (g *gates) logs(image string) string {
	g.t.Helper()
	files, err := filepath.Glob(filepath.Join(g.dir, "logs", image+"-*.log"))
	if err != nil {
		g.t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		text, _ := os.ReadFile(file) // an old one may be gone
		all.Write(text)
	}
	return all.String()
}

// ready waits until an image has so many builds, all ready.
func (g *gates) ready(image string, n int) {
	g.t.Helper()
	g.await(fmt.Sprintf("%d builds of %s are on record as ready", n, image), answerLimit, func() (string, bool) {
		var s story
		out := g.poolctl(exitDone, "image", "show", image, "-o", "json")
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			g.t.Fatalf("%v: %s", err, out)
		}
		ready := 0
		for _, b := range s.Builds {
			if b.State == "ready" {
				ready++
			}
		}
		return out, ready == n && len(s.Builds) == n
	})
}
