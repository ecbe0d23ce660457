// Package golden compares what tests make with files of the repository. Its
// flag -update writes the files anew instead (`make golden` does so for all of
// them); what changed is then read in the diff.
package golden

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

//nolint:gochecknoglobals // a flag is there before the tests parse theirs
var update = flag.Bool("update", false, "rewrite the golden files")

// Equal fails the test, with a diff, if the file's text is not got. With
// -update it writes got there first.
func Equal(tb testing.TB, file, got string) {
	tb.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		tb.Errorf("%s differs (-want +got; go test -update rewrites it):\n%s", file, diff)
	}
}
