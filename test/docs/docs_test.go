package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"poold/test/demo"
)

// documents reads every Markdown file of the repository, in order of their names.
func documents(t *testing.T) []*document {
	t.Helper()
	var all []*document
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch name := e.Name(); {
		case err != nil:
			return err
		case e.IsDir() && path != root && (strings.HasPrefix(name, ".") || slices.Contains([]string{"bin", "dist", "testdata"}, name)):
			return filepath.SkipDir
		case e.IsDir() || filepath.Ext(name) != ".md":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		all = append(all, parse(filepath.ToSlash(name), string(text)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// There is no block in any document of which the test does not know what to do with
// it.
func TestEveryBlockIsKnown(t *testing.T) {
	blocks := 0
	for _, d := range documents(t) {
		blocks += len(d.steps)
		for _, fault := range d.faults {
			t.Error(fault)
		}
	}
	if blocks < 20 {
		t.Errorf("only %d blocks were found", blocks)
	}
}

// What documents say works, in the order in which it stands there. Those that need
// no poold of their own share a demo.
func TestDocuments(t *testing.T) {
	t.Parallel()
	var shared, alone []*document
	for _, d := range documents(t) {
		switch {
		case len(d.steps) == 0:
		case d.alone:
			alone = append(alone, d)
		default:
			shared = append(shared, d)
		}
	}
	// Two that build in the repository would be in each other's way, so those of
	// them that are alone do not run beside others.
	slices.SortStableFunc(alone, func(a, b *document) int { return strings.Compare(fmt.Sprint(b.inside), fmt.Sprint(a.inside)) })
	for _, d := range alone {
		t.Run(d.name, func(t *testing.T) { apart(t, !d.inside, func() { newSession(t, d).run() }) })
	}
	t.Run("demo", func(t *testing.T) {
		apart(t, true, func() {
			startDemo(t)
			for _, d := range shared {
				t.Run(d.name, func(t *testing.T) { newSession(t, d).run() })
			}
		})
	})
}

// apart does something in namespaces of its own, beside others if it may.
func apart(t *testing.T, beside bool, do func()) {
	t.Helper()
	switch {
	case os.Getenv(insideVariable) != "":
		do()
	case beside:
		t.Parallel()
		inside(t)
	default:
		inside(t)
	}
}

// startDemo runs the demo at its usual ports, with an audit log.
func startDemo(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "nodepool.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "nodepool.yaml")
	text = append(text, "\nwebapp: {audit-log: /var/log/poold/audit.log}\n"...)
	if err := os.MkdirAll("/var/log/poold", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	demo.Start(t, filepath.Join(bin, "poold"), t.ArtifactDir(), "demo",
		"-c", config, "--etcd-port", "2379", "--http-port", "8005")
}
