package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"poold/config"
)

// TestCorpus checks what becomes of real files. They are not part of this
// repository; each line of their SOURCES.md names a file and its kind.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("POOLD_CORPUS")
	if dir == "" {
		t.Skip("POOLD_CORPUS does not name a folder with real configuration files")
	}
	table, err := os.ReadFile(filepath.Join(dir, "SOURCES.md"))
	if err != nil {
		t.Fatal(err)
	}
	checks := map[string]func(*testing.T, string, []config.Note, error){
		"cfg":    wantLoaded,
		"legacy": wantLegacy,
		"neg":    wantPlaced,
		"tmpl":   wantPlaced,
	}
	seen := map[string]int{}
	for line := range strings.Lines(string(table)) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		name, kind := strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2])
		check := checks[kind]
		if check == nil {
			continue
		}
		seen[kind]++
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			_, notes, err := config.Parse(config.Input{Main: config.Source{Name: name, Data: data}})
			check(t, string(data), notes, err)
		})
	}
	for kind := range checks {
		if seen[kind] == 0 {
			t.Errorf("no file of kind %s in %s", kind, dir)
		}
	}
}

// wantLoaded checks a file in the syntax of today; one that is all comments is
// told to be empty.
func wantLoaded(t *testing.T, text string, notes []config.Note, err error) {
	t.Helper()
	if !strings.Contains(strings.Join(uncommented(text), "\n"), ":") {
		if err == nil || !strings.Contains(err.Error(), "empty") {
			t.Errorf("got %v, want the file to be empty", err)
		}
		return
	}
	if err != nil {
		t.Errorf("got errors:\n%v", err)
	}
	for _, n := range notes {
		t.Log(n)
	}
}

func uncommented(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			all = append(all, line)
		}
	}
	return all
}

// wantLegacy checks a file in a syntax of before version 3: one error, about
// the first old key.
func wantLegacy(t *testing.T, _ string, _ []config.Note, err error) {
	t.Helper()
	var all config.Errors
	if !errors.As(err, &all) || len(all) != 1 || !strings.Contains(all[0].Problem, "before version 3") {
		t.Fatalf("got %v, want one error about the old syntax", err)
	}
	t.Log(err)
}

// wantPlaced checks a file that must be refused.
func wantPlaced(t *testing.T, _ string, _ []config.Note, err error) {
	t.Helper()
	var all config.Errors
	if !errors.As(err, &all) {
		t.Fatalf("got %v, want errors", err)
	}
	for _, e := range all {
		if e.Line < 1 || e.Col < 1 {
			t.Errorf("no position: %v", e)
		}
		t.Log(e)
	}
}
