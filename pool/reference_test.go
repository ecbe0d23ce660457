package pool

import (
	"fmt"
	"strings"
	"testing"

	"poold/internal/golden"
)

const statesHead = `<!-- Made by go test ./pool -update from the tables of states in pool. Do not edit. -->

# States

Each record moves from state to state as these tables say, and never back: a retry is a new record. Only who is named
may make a move; **operator** is a human with ` + "`poolctl`" + `, whose command is carried out by whoever owns the record. When
a record came into which state, and why, is shown by ` + "`poolctl node show`, `poolctl image show` and `poolctl request show`" + `.
`

// docs/states.md is what the tables say.
func TestStatesReference(t *testing.T) {
	var b strings.Builder
	b.WriteString(statesHead)
	writeMachine(&b, "Nodes", NodeMachine())
	writeMachine(&b, "Answers to requests", AllocationMachine())
	writeMachine(&b, "Builds of images", BuildMachine())
	writeMachine(&b, "Uploads of builds", UploadMachine())
	golden.Equal(t, "../docs/states.md", b.String())
}

func writeMachine[S ~string](b *strings.Builder, title string, m Machine[S]) {
	fmt.Fprintf(b, "\n## %s\n\nA new one is `%s`", title, m.Initial)
	if m.Terminal != "" {
		fmt.Fprintf(b, ", and in the end it is `%s`", m.Terminal)
	}
	b.WriteString(".\n\n| from | to | by | when |\n|---|---|---|---|\n")
	for _, e := range m.Edges {
		var by []string
		for _, actor := range e.By {
			by = append(by, string(actor))
		}
		fmt.Fprintf(b, "| `%s` | `%s` | %s | %s |\n", e.From, e.To, strings.Join(by, ", "), strings.ReplaceAll(e.Means, "|", `\|`))
	}
}
