package archtest

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"poold/internal/golden"
)

const (
	begin = "<!-- archtest:begin -->\n"
	end   = "<!-- archtest:end -->"
)

// ARCHITECTURE.md shows the table that is enforced, not one that once was.
func TestArchitectureShowsTheTable(t *testing.T) {
	const file = "ARCHITECTURE.md"
	before, rest, ok := strings.Cut(read(t, file), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no block between %q and %q", file, begin, end)
	}
	golden.Equal(t, filepath.Join(root(t), file), before+begin+render(table())+end+after)
}

// render writes the table as Markdown.
func render(rows []row) string {
	var b strings.Builder
	b.WriteString("| package | imports of this project | and from outside |\n|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.pkg, cell(r.project), cell(r.outside))
	}
	return b.String()
}

// cell writes the packages of one column.
func cell(names []string) string {
	switch {
	case len(names) == 0:
		return "nothing"
	case names[0] == "*":
		return "anything"
	}
	return "`" + strings.Join(names, "` `") + "`"
}
