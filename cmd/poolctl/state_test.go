package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"poold/internal/golden"
	"poold/pool"
	"poold/store"
)

// lost exports the records of an installation, and returns the file with the
// prefix of an etcd that has lost them, and its records.
func lost(t *testing.T) (file, empty string, records *store.Store) {
	t.Helper()
	name, _, old := prefix(t)
	if _, err := old.Installation(t.Context(), func() (string, error) { return "ours", nil }); err != nil {
		t.Fatal(err)
	}
	if err := seedImages(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if _, err := poolctl(t, "freeze", "--prefix", name); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "state.json")
	if out, err := poolctl(t, "state", "export", file, "--prefix", name); err != nil || out != "" {
		t.Fatalf("%q, %v", out, err)
	}
	empty, _, records = prefix(t)
	return file, empty, records
}

// A file is what would be printed, and its owner's alone; one that was there is
// replaced, and nothing else is left.
func TestStateExport(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	if err := os.WriteFile(file, []byte("older"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := poolctl(t, "state", "export", file); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
	var s store.State
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Records["nodes"]) == 0 || len(s.Records["requests"]) == 0 || s.Prefix != store.DefaultPrefix || !s.Exported.Equal(noon) {
		t.Errorf("of %s at %v, revision %d: %d nodes, %d requests", s.Prefix, s.Exported, s.Revision, len(s.Records["nodes"]), len(s.Records["requests"]))
	}
	printed, err := poolctl(t, "state", "export")
	if err != nil {
		t.Fatal(err)
	}
	// Other tests write below other prefixes meanwhile: the revision is another.
	plain := func(text []byte) string {
		lines := bytes.Split(text, []byte("\n"))
		return string(bytes.Join(slices.DeleteFunc(lines, func(l []byte) bool { return bytes.HasPrefix(l, []byte(`  "revision"`)) }), []byte("\n")))
	}
	if plain(data) != plain([]byte(printed)) {
		t.Error("the file is not what is printed")
	}
	if _, err := poolctl(t, "state", "export", filepath.Join(file, "x")); exitCode(err) != exitFailed {
		t.Errorf("into no directory: %v", err)
	}
}

// An import is shown, agreed to, and done once.
func TestStateImport(t *testing.T) {
	file, empty, records := lost(t)
	do := func(args ...string) (string, error) {
		return poolctl(t, append([]string{"state", "import", file, "--prefix", empty}, args...)...)
	}
	shown, err := do("--dry-run")
	if err != nil {
		t.Fatal(err)
	}
	golden.Equal(t, "testdata/state-import.txt", shown)
	if out, err := do(); err != nil || !strings.Contains(out, "For these: --confirm 6") {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := do("--confirm", "7"); exitCode(err) != exitRefused {
		t.Errorf("%q, %v", out, err)
	}
	if s := read(t, records); len(s.Builds)+len(s.Uploads) > 0 || s.Freeze != nil {
		t.Errorf("there are %+v", s)
	}
	done, err := do("--confirm", "6")
	if err != nil {
		t.Fatal(err)
	}
	golden.Equal(t, "testdata/state-import-done.txt", done)
	s := read(t, records)
	if len(s.Builds) != 1 || s.Builds[0].State != pool.BuildReady || s.Builds[0].Artifact("qcow2").Path == "" || s.Freeze == nil {
		t.Errorf("there are %+v", s)
	}
	id, err := records.Installation(t.Context(), func() (string, error) { return "another", nil })
	if err != nil || id != "ours" {
		t.Errorf("installation %q, %v", id, err)
	}
	if out, err := do("-o", "name"); err != nil || strings.Contains(out, "confirm") {
		t.Errorf("once more: %q, %v", out, err)
	}
}

// Wrong files, and those of others, are refused.
func TestStateImportRefuses(t *testing.T) {
	file, empty, records := lost(t)
	if _, err := records.Installation(t.Context(), func() (string, error) { return "another", nil }); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "nodepool.json")
	if err := os.WriteFile(other, []byte(`{"/nodepool/images/noble": "{}"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("v: 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		code int
		want string
	}{
		file: {exitRefused, "When etcd is lost"}, other: {exitRefused, "not what poolctl state export wrote"},
		text: {exitRefused, "not what poolctl state export wrote"}, "none.json": {exitFailed, "no such file"},
	} {
		for _, line := range []string{"state import " + name + " --dry-run", "import-image-data " + name} {
			_, err := poolctl(t, append(strings.Fields(line), "--prefix", empty)...)
			if exitCode(err) != c.code || !strings.Contains(err.Error(), c.want) {
				t.Errorf("poolctl %s: %v, want exit code %d and %q", line, err, c.code, c.want)
			}
		}
	}
}

// nodepool's commands do the same, and ask nothing.
func TestImageData(t *testing.T) {
	file, empty, records := lost(t)
	out, err := poolctl(t, "import-image-data", file, "--prefix", empty)
	if err != nil {
		t.Fatal(err)
	}
	golden.Equal(t, "testdata/state-import-done.txt", out)
	if s := read(t, records); len(s.Builds) != 1 {
		t.Errorf("there are %d builds", len(s.Builds))
	}
	again := filepath.Join(t.TempDir(), "again.json")
	if _, err := poolctl(t, "export-image-data", again, "--prefix", empty); err != nil {
		t.Fatal(err)
	}
	if out, err := poolctl(t, "state", "import", again, "--prefix", empty, "-o", "name"); err != nil || strings.Count(out, "\n") != 6 {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := poolctl(t, "export-image-data"); exitCode(err) != exitUsage {
		t.Errorf("without a file: %v", err)
	}
}

func read(t *testing.T, records *store.Store) *pool.Snapshot {
	t.Helper()
	s, err := records.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}
