package golden_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"poold/internal/golden"
)

// witness is a test that writes down its errors.
type witness struct {
	testing.TB

	said string
}

func (w *witness) Errorf(format string, args ...any) { w.said += fmt.Sprintf(format, args...) }

// set gives the flag -update a value for one test, whatever it was.
func set(t *testing.T, value string) {
	t.Helper()
	update := flag.Lookup("update").Value
	before := update.String()
	t.Cleanup(func() { _ = update.Set(before) })
	if err := update.Set(value); err != nil {
		t.Fatal(err)
	}
}

func TestEqual(t *testing.T) {
	set(t, "false")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("one\ntwo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &witness{TB: t}
	golden.Equal(w, file, "one\ntwo\n")
	if w.said != "" {
		t.Errorf("equal, and yet: %s", w.said)
	}
	golden.Equal(w, file, "one\nthree\n")
	if !strings.Contains(w.said, file) || !strings.Contains(w.said, "three") {
		t.Errorf("another text: said %q", w.said)
	}
}

// With -update the file becomes what the test made.
func TestUpdate(t *testing.T) {
	set(t, "true")
	file := filepath.Join(t.TempDir(), "file")
	golden.Equal(t, file, "new")
	if text, err := os.ReadFile(file); err != nil || string(text) != "new" {
		t.Errorf("the file says %q, %v", text, err)
	}
}
