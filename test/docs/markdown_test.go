package docs

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// document is what a Markdown file has for the test.
type document struct {
	name   string
	alone  bool // it wants no demo
	inside bool // it begins in the repository
	steps  []step
	named  []string // commands in the text, and in what is not run
	faults []string
}

// step is a block, or commands that are not shown.
type step struct {
	line     int
	language string // the word behind the fence; "" of what is not shown
	text     string
	marks    []mark
}

// mark is what a comment says of the block below it.
type mark struct{ verb, rest string }

// is returns the rest of a mark, and whether it is there.
func (p step) is(verb string) (string, bool) {
	for _, m := range p.marks {
		if m.verb == verb {
			return m.rest, true
		}
	}
	return "", false
}

const (
	markBegin = "<!-- test: "
	markEnd   = "-->"
)

// parse reads a Markdown text.
func parse(name, text string) *document {
	d := &document{name: name}
	lines := strings.Split(text, "\n")
	d.named = inline(text)
	var marks []mark
	for i := 0; i < len(lines); i++ {
		switch line := lines[i]; {
		case strings.HasPrefix(line, markBegin):
			end := until(lines, i, func(l string) bool { return strings.HasSuffix(l, markEnd) })
			comment := strings.Join(lines[i:end+1], "\n")
			marks = d.mark(i+1, strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(comment, markBegin), markEnd)), marks)
			i = end
		case strings.HasPrefix(strings.TrimSpace(line), "```"):
			end := until(lines, i+1, func(l string) bool { return strings.TrimSpace(l) == "```" })
			s := step{line: i + 1, language: strings.TrimPrefix(strings.TrimSpace(line), "```"), marks: marks}
			s.text = strings.Join(lines[i+1:end], "\n") + "\n"
			d.steps, marks = append(d.steps, s), nil
			if fault := s.fault(); fault != "" {
				d.faultf(s.line, "%s", fault)
			}
			if _, shown := s.is("not run,"); shown {
				d.named = append(d.named, strings.Split(s.text, "\n")...)
			}
			i = end
		case strings.HasPrefix(line, "    ") && i > 0 && lines[i-1] == "":
			d.faultf(i+1, "an indented block: write a fence, with the word that says what it is")
		case line != "" && marks != nil:
			d.faultf(i+1, "no block follows on the comment above")
			marks = nil
		}
	}
	return d
}

// inline are the pieces of code in a text, without the blocks.
func inline(text string) []string {
	var pieces []string
	text = regexp.MustCompile("(?s)```.*?\n *```|<!--.*?-->").ReplaceAllString(text, "")
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
		pieces = append(pieces, strings.Join(strings.Fields(m[1]), " "))
	}
	return pieces
}

// until is the first line from one on that is so, or the last line.
func until(lines []string, from int, is func(string) bool) int {
	if at := slices.IndexFunc(lines[from:], is); at >= 0 {
		return from + at
	}
	return len(lines) - 1
}

func (d *document) faultf(line int, format string, args ...any) {
	d.faults = append(d.faults, fmt.Sprintf("%s:%d: ", d.name, line)+fmt.Sprintf(format, args...))
}

// mark takes in a comment, and returns the marks of the block that follows.
func (d *document) mark(line int, comment string, marks []mark) []mark {
	switch comment {
	case "alone":
		d.alone = true
		return marks
	case "in the repository":
		d.inside = true
		return marks
	case "background":
		return append(marks, mark{verb: comment})
	}
	for _, verb := range []string{"says", "fails", "file", "not run,"} {
		if rest, found := strings.CutPrefix(comment, verb+" "); found && strings.TrimSpace(rest) != "" {
			return append(marks, mark{verb, strings.TrimSpace(rest)})
		}
	}
	if rest, found := strings.CutPrefix(comment, "run"); found && strings.TrimSpace(rest) != "" {
		d.steps = append(d.steps, step{line: line, text: strings.TrimSpace(rest) + "\n"})
		return marks
	}
	d.faultf(line, "what does this ask for? %q", comment)
	return marks
}

// programs are what a block of commands is known by.
var programs = regexp.MustCompile(`(?m)^\s*(poold|poolctl|make|go|etcdctl|systemctl|openstack|curl|sudo|apt-get)\s`)

// fault says why nobody knows what to do with a block.
func (p step) fault() string {
	_, file := p.is("file")
	_, shown := p.is("not run,")
	switch {
	case file, shown, slices.Contains([]string{"sh", "console", "yaml"}, p.language):
		return ""
	case p.language != "text":
		return fmt.Sprintf("nothing is known of a block of %q", p.language)
	case programs.MatchString(p.text):
		return "a block of text with a command in it: " + strings.TrimSpace(programs.FindString(p.text))
	}
	return ""
}

// typed are the commands of a console, with what is printed left out.
func typed(text string) string {
	var commands strings.Builder
	for line := range strings.Lines(text) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			commands.WriteString(command)
		}
	}
	return commands.String()
}

// printed are the lines between the commands of a console.
func printed(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "$ ") && strings.TrimSpace(line) != "" {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// lacking is the first of the lines that were promised that was not printed, in
// their order, or "".
func lacking(promised []string, output string) string {
	got := strings.Split(output, "\n")
	for _, want := range promised {
		if want == "..." {
			continue
		}
		at := slices.IndexFunc(got, func(line string) bool { return alike(strings.Fields(want), strings.Fields(line)) })
		if at < 0 {
			return want
		}
		got = got[at+1:]
	}
	return ""
}

// alike compares the words of lines.
func alike(want, got []string) bool {
	for i, word := range want {
		switch {
		case word == "..." && i == len(want)-1:
			return true
		case i >= len(got):
			return false
		case word == "...":
			// Any word.
		case word != got[i] && !strings.ContainsAny(word, "0123456789"):
			return false
		}
	}
	return len(want) == len(got)
}

// Blocks are found whatever they are, with what comments say of them; what nobody
// knows is a fault.
func TestParse(t *testing.T) {
	text := "<!-- test: alone -->\n# a\n\n```sh\nb\nc\n```\n\n<!-- test: run\nhidden\n-->\n" +
		"<!-- test: says yes -->\n<!-- test: background -->\n```sh\nd\n```\n```console\n$ e\nits output\n$ f\n```\n" +
		"```json\n{}\n```\n```\nbare\n```\n```text\n  poolctl list\n```\n```text\n+---+\n```\n\n    g\n\n- h\n    i\n" +
		"<!-- test: says no -->\nnothing\n<!-- test: huh -->\n<!-- test: not run, far away -->\n```ini\nj\n```\n"
	d := parse("x.md", text)
	var steps []string
	for _, s := range d.steps {
		steps = append(steps, fmt.Sprintf("%d %s %q %v", s.line, s.language, s.text, s.marks))
	}
	want := []string{
		`4 sh "b\nc\n" []`, `9  "hidden\n" []`, `14 sh "d\n" [{says yes} {background }]`,
		`17 console "$ e\nits output\n$ f\n" []`, `22 json "{}\n" []`, `25  "bare\n" []`, `28 text "  poolctl list\n" []`,
		`31 text "+---+\n" []`, `43 ini "j\n" [{not run, far away}]`,
	}
	if !slices.Equal(steps, want) || !d.alone || d.inside {
		t.Errorf("got %v\n%s\nwant\n%s", d, strings.Join(steps, "\n"), strings.Join(want, "\n"))
	}
	for i, part := range []string{`x.md:22: nothing is known of a block of "json"`, `x.md:25: nothing`, "x.md:28: a block of text with", "x.md:35: an indented", "x.md:40: no block", "x.md:41: what"} {
		if len(d.faults) != 6 || !strings.Contains(d.faults[i], part) {
			t.Errorf("fault %d should have %q: %q", i, part, d.faults)
		}
	}
}

// A console shows what is printed but for the words that change.
func TestLacking(t *testing.T) {
	console := "$ a\nID     STATE\nn0a1   ready  ... more ...\n...\nlast\n$ b\n"
	if typed(console) != "a\nb\n" {
		t.Errorf("typed %q", typed(console))
	}
	const line = "n0a1   ready  ... more ..."
	for output, want := range map[string]string{
		"ID   STATE\nxyz   ready 4s more\nother\nlast\n": "",
		"ID   STATE\nxyz   ready 4s more of it\nlast\n":  "",
		"ID   STATE\nxyz   ready more\nlast\n":           line,
		"ID   STATE\nxyz   failed 4s more\nlast\n":       line,
		"xyz   ready 4s more\nID   STATE\nlast\n":        line,
		"ID   STATE\nxyz   ready 4s more\nlast one\n":    "last",
		"": "ID     STATE",
	} {
		if got := lacking(printed(console), output); got != want {
			t.Errorf("of %q lacks %q, want %q", output, got, want)
		}
	}
}
