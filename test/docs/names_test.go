package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// manual is what there is to be named.
type manual struct {
	commands map[string]string // of poolctl, with what its reference says of it
	old      []string          // of nodepool, that poolctl has as well
	options  string            // of all commands
	targets  string            // of make
}

func newManual(t *testing.T) *manual {
	t.Helper()
	reference, err := os.ReadFile(filepath.Join(root, "docs", "poolctl.md"))
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	m := &manual{commands: map[string]string{}, targets: string(makefile)}
	for section := range strings.SplitSeq(string(reference), "\n## ") {
		title, rest, _ := strings.Cut(section, "\n")
		switch name, found := strings.CutPrefix(title, "poolctl "); {
		case found:
			m.commands[name] = rest
		case strings.HasPrefix(title, "Options"):
			m.options = rest
		}
	}
	for _, match := range regexp.MustCompile("(?m)^- `poolctl ([a-z-]+)").FindAllStringSubmatch(string(reference), -1) {
		m.old = append(m.old, match[1])
	}
	return m
}

// fault says what is wrong with a command that is named, or "".
func (m *manual) fault(named string) string {
	words := strings.Fields(named)
	switch {
	case len(words) < 2:
		return ""
	case words[0] == "make" && regexp.MustCompile(`^[a-z-]+$`).MatchString(words[1]):
		if !strings.Contains(m.targets, "\n"+words[1]+":") {
			return "there is no such target"
		}
	case words[0] == "poolctl" && words[1] != "completion":
		return m.faultOfPoolctl(words[1:])
	}
	return ""
}

// faultOfPoolctl is fault for what follows on the word poolctl.
func (m *manual) faultOfPoolctl(words []string) string {
	about, found := m.commands[words[0]]
	if !found && len(words) > 1 {
		about, found = m.commands[words[0]+" "+words[1]]
	}
	if !found {
		if slices.Contains(m.old, words[0]) || regexp.MustCompile(`^[^a-z]`).MatchString(words[0]) || m.group(words) {
			return "" // of nodepool, an option, a word to fill in, or all of a kind
		}
		return "there is no such command"
	}
	for _, word := range words {
		option := regexp.MustCompile(`^\[?(--[a-z-]+)`).FindStringSubmatch(word)
		if option != nil && option[1] != "--help" && !strings.Contains(about+m.options, option[1]+" ") {
			return "it has no option " + option[1]
		}
	}
	return ""
}

// group tells whether words name commands of a kind, such as "poolctl node".
func (m *manual) group(words []string) bool {
	for name := range m.commands {
		if len(words) == 1 && strings.HasPrefix(name, words[0]+" ") {
			return true
		}
	}
	return false
}

// What documents name in passing, or in a block that is not run, is there.
func TestNamedCommandsAreThere(t *testing.T) {
	m, named := newManual(t), 0
	for _, d := range documents(t) {
		if d.name == "CHANGELOG.md" {
			continue // it tells of what was
		}
		for _, command := range d.named {
			named++
			if fault := m.fault(command); fault != "" {
				t.Errorf("%s: `%s`: %s", d.name, command, fault)
			}
		}
	}
	if named < 100 {
		t.Errorf("only %d commands were found", named)
	}
}

// The rule above bites.
func TestFaultsOfNames(t *testing.T) {
	m := newManual(t)
	for command, good := range map[string]bool{
		"poolctl node list -o wide": true, "poolctl node delete --provider P --older-than 6h": true, "poolctl image-list": true,
		"poolctl completion bash": true, "poolctl node": true, "poolctl list": true, "make demo": true, "poolctl COMMAND": true,
		"poolctl node lst": false, "poolctl nodes": false, "poolctl node list --colour": false, "make coffee": false,
	} {
		if fault := m.fault(command); (fault == "") != good {
			t.Errorf("%s: %q", command, fault)
		}
	}
}
