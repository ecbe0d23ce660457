package manual

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// There is a page for each command that is not hidden, and two runs write the
// same.
func TestCommand(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1780000000")
	none := func(*cobra.Command, []string) {}
	pages := func() string {
		root := &cobra.Command{Use: "tool", Short: "Do things"}
		root.AddCommand(
			&cobra.Command{Use: "list", Short: "Show what there is", Run: none},
			&cobra.Command{Use: "old-list", Hidden: true, Run: none}, Command(),
		)
		dir := filepath.Join(t.TempDir(), "man1")
		root.SetArgs([]string{"man", dir})
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		for _, f := range files {
			text, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			all.WriteString("== " + f.Name() + "\n" + string(text))
		}
		return all.String()
	}
	first := pages()
	for _, want := range []string{"== tool.1\n", "== tool-list.1\n", "Show what there is", "May 2026"} {
		if !strings.Contains(first, want) {
			t.Errorf("no %q in the pages:\n%s", want, first)
		}
	}
	if strings.Contains(first, "old-list") || strings.Contains(first, "tool-man.1") {
		t.Errorf("pages of hidden commands:\n%s", first)
	}
	if pages() != first {
		t.Error("the next run writes other pages")
	}
}
