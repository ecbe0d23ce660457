package trouble

import (
	"os"
	"strings"
	"testing"
)

const runbookFile = "../../docs/runbook.md"

// steps are the commands of an entry of the runbook, as they stand there.
func steps(t *testing.T, entry string) string {
	t.Helper()
	text, err := os.ReadFile(runbookFile)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n## "+entry+"\n")
	section, _, _ := strings.Cut(rest, "\n## ")
	_, block, fenced := strings.Cut(section, "\n```sh\n")
	block, _, ended := strings.Cut(block, "\n```\n")
	if !found || !fenced || !ended {
		t.Fatalf("the runbook has no commands for %s", entry)
	}
	return block
}

// Every trouble that is staged has commands.
func TestRunbookHasSteps(t *testing.T) {
	for _, entry := range []string{
		"provider-silent", "image-bad", "quota-full", "rate-limited", "deletes-stuck", "etcd-slow", "build-fails", "never-released",
	} {
		if steps(t, entry) == "" {
			t.Errorf("%s: none", entry)
		}
	}
}
