package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const scenarios = "docs/nodepool-scenarios.md"

// Each row of the table of nodepool's behaviours names tests that exist.
func TestScenariosHaveTests(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), scenarios))
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.SplitSeq(string(text), "\n") {
		if !strings.HasPrefix(line, "| ") || strings.Contains(line, "| shown by |") {
			continue
		}
		rows++
		if fault := rowFault(root(t), line); fault != "" {
			t.Errorf("%s: %s", line, fault)
		}
	}
	if rows < 50 {
		t.Errorf("only %d rows", rows)
	}
}

var (
	shownBy = regexp.MustCompile("`([a-z/]+) (Test[A-Za-z0-9]+)(?:/([^`]+))?`")
	anchors = regexp.MustCompile(`nodepool-differences\.md#([a-z-]+)`)
)

// rowFault says what is wrong with a row of the table.
func rowFault(base, row string) string {
	tests := shownBy.FindAllStringSubmatch(row, -1)
	if len(tests) == 0 {
		return "no test"
	}
	for _, test := range tests {
		if !hasTest(base, test[1], test[2], test[3]) {
			return "there is no " + test[0]
		}
	}
	for _, anchor := range anchors.FindAllStringSubmatch(row, -1) {
		text, err := os.ReadFile(filepath.Join(base, "docs/nodepool-differences.md"))
		if err != nil || !strings.Contains(strings.ReplaceAll(strings.ToLower(string(text)), " ", "-"), "\n##-"+anchor[1]+"\n") {
			return "there is no section " + anchor[1]
		}
	}
	return ""
}

// hasTest tells whether the tests of a package have one of that name and, in
// the same file, what a subtest is called.
func hasTest(base, dir, name, sub string) bool {
	paths, _ := filepath.Glob(filepath.Join(base, dir, "*_test.go"))
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(text), "\nfunc "+name+"(") {
			return sub == "" || strings.Contains(string(text), `"`+sub+`":`)
		}
	}
	return false
}

// The rule above bites.
func TestRowFaults(t *testing.T) {
	for row, good := range map[string]bool{
		"| a | `allocator TestScenarios/room` |":                               true,
		"| a | `allocator TestScenarios/rooms` |":                              false,
		"| a | `allocator TestScenario` |":                                     false,
		"| a | `launcher TestLife` `allocator TestGone` |":                     false,
		"| a | nothing |":                                                      false,
		"| a (nodepool-differences.md#launches) | `launcher TestLife` |":       true,
		"| a (nodepool-differences.md#launching-x) | `launcher TestLife` |":    false,
		"| a | `test/lab TestNodesForRequests` |":                              true,
		"| a (nodepool-differences.md#requests) | `allocator TestScenarios` |": true,
	} {
		if fault := rowFault(root(t), row); (fault == "") != good {
			t.Errorf("%s: %q", row, fault)
		}
	}
}
