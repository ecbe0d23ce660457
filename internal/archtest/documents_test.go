package archtest

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every package tells a reader who has never seen it what it is for.
func TestPackagesHaveComments(t *testing.T) {
	for _, s := range sources(t) {
		if fault := commentFault(s); fault != "" {
			t.Errorf("%s: %s", s.dir, fault)
		}
	}
}

// commentFault says what is wrong with the comment of a package.
func commentFault(s *source) string {
	start := "Package " + s.name + " "
	if base := path.Base(s.dir); s.name == "main" {
		start = strings.ToUpper(base[:1]) + base[1:] + " "
	}
	switch {
	case !s.hasCode:
		return "only tests, and no doc.go to say what they are for"
	case !strings.HasPrefix(s.comment, start):
		return "the package comment does not start with " + start
	case len(s.comment) < 80 && strings.Count(s.comment, ". ")+strings.Count(s.comment, ".\n") < 2:
		return "the package comment says next to nothing: " + strings.TrimSpace(s.comment)
	}
	return ""
}

// The rule above bites.
func TestCommentFaults(t *testing.T) {
	long := strings.Repeat("and more ", 9) + "\n"
	for name, c := range map[string]struct {
		source source
		good   bool
	}{
		"long":                {source{dir: "pool", name: "pool", hasCode: true, comment: "Package pool is " + long}, true},
		"two sentences":       {source{dir: "pool", name: "pool", hasCode: true, comment: "Package pool is it. See there.\n"}, true},
		"binary":              {source{dir: "cmd/poolctl", name: "main", hasCode: true, comment: "Poolctl is " + long}, true},
		"short":               {source{dir: "pool", name: "pool", hasCode: true, comment: "Package pool is it.\n"}, false},
		"none":                {source{dir: "pool", name: "pool", hasCode: true}, false},
		"of another package":  {source{dir: "pool", name: "pool", hasCode: true, comment: "Package pools is " + long}, false},
		"binary as a package": {source{dir: "cmd/poold", name: "main", hasCode: true, comment: "Package main is " + long}, false},
		"tests only":          {source{dir: "test/lab"}, false},
	} {
		if fault := commentFault(&c.source); (fault == "") != c.good {
			t.Errorf("%s: %q", name, fault)
		}
	}
}

// A relative link in a document leads to a file of the repository.
func TestLinksLeadSomewhere(t *testing.T) {
	for _, file := range files(t) {
		if path.Ext(file) != ".md" {
			continue
		}
		for _, target := range relativeLinks(read(t, file)) {
			name := path.Join(path.Dir(file), target)
			if _, err := os.Stat(filepath.Join(root(t), filepath.FromSlash(name))); err != nil {
				t.Errorf("%s links to %s, which is not there", file, target)
			}
		}
	}
}

// relativeLinks are the targets of a Markdown text's links, without those to
// other sites and to places in the text itself. Code is not looked at.
func relativeLinks(text string) []string {
	code := regexp.MustCompile("(?s)```.*?\n```|`[^`\n]*`")
	link := regexp.MustCompile(`\]\(([^()\s]+)(?:\s+"[^"]*")?\)|(?m:^\[[^\]\n]+\]:\s+(\S+))`)
	var targets []string
	for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(text, ""), -1) {
		target, _, _ := strings.Cut(m[1]+m[2], "#")
		if target != "" && !strings.Contains(target, "://") && !strings.HasPrefix(target, "mailto:") {
			targets = append(targets, target)
		}
	}
	return targets
}

// The rule above sees links of every shape, and no code.
func TestRelativeLinks(t *testing.T) {
	text := "[a](docs/a.md#part) ![b](b.png \"B\") [c](https://example.com/c) [d](#here)\n" +
		"`[e](e.md)`\n```\n[f](f.md)\n```\n[g]: ../g.md\n"
	got := strings.Join(relativeLinks(text), " ")
	if want := "docs/a.md b.png ../g.md"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The repository can be cloned anywhere: no file names a path of a machine it
// was written on. (The words are put together so that this file passes.)
func TestNoPathsOfAMachine(t *testing.T) {
	words := []string{"/wo" + "rk/", "/fa" + "rm/", "/tmp/w" + "t", ".." + "/shared"}
	for _, file := range files(t) {
		text := read(t, file)
		for _, word := range words {
			if strings.Contains(text, word) && (file != ".ci/run" || word != words[3]) {
				t.Errorf("%s names %s", file, word)
			}
		}
	}
}
