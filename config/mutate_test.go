package config

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

// leastMutants is how many mutated files there are at least.
const leastMutants = 200

// seldom is of how many kinds of mistakes one is made in a large file.
const seldom = 16

// longestError is how long the text of one error may be: it is read by humans.
const longestError = 500

// mutant is an example with one mistake in it.
type mutant struct {
	text []byte
	// line and col are where the mistake is; 0 is anywhere.
	line, col int
	// below allows a later line, if the error says to look at the one above.
	below bool
	// want is a part of what the error at this place says; empty if the
	// mutant is as good as the example.
	want string
	// key is the key that the error names, empty for none.
	key string
}

// example is a file without errors, of which mutants are made.
type example struct {
	name   string
	index  int
	data   []byte
	secure *Source
	whole  *Config
	sites  []site
}

func (e *example) parse(data []byte) (*Config, error) {
	c, _, err := Parse(Input{Main: Source{Name: e.name, Data: data}, Secure: e.secure})
	return c, err
}

// TestMutations makes one mistake after the other in the project's own files,
// and in real ones where there are any. What is a mistake by construction is
// told with its place, its key and its kind; what is none changes nothing; and
// whatever is told is fit to be read.
func TestMutations(t *testing.T) {
	all, count := 0, map[string]int{}
	for _, e := range examples(t) {
		t.Run(e.name, func(t *testing.T) {
			for kind, m := range mutantsOf(t, e) {
				all++
				count[kind]++
				checkMutant(t, kind, e, m)
			}
		})
	}
	if all < leastMutants {
		t.Errorf("only %d mutants, want %d", all, leastMutants)
	}
	kinds := slices.Concat(sortedNames(treeEdits()), sortedNames(textEdits()), sortedNames(fileEdits()))
	for _, kind := range kinds {
		if count[kind] == 0 {
			t.Errorf("no file has a place for %q", kind)
		}
	}
	t.Logf("%d mutants: %v", all, count)
}

// mutantsOf returns the mutants of an example by their kind: one of each kind,
// or of a part of the kinds where the file is large or the mistake is.
func mutantsOf(t *testing.T, e *example) map[string]mutant {
	t.Helper()
	all := map[string]mutant{}
	tree := parseTree(t, e.data)
	for i, name := range sortedNames(treeEdits()) {
		edit := treeEdits()[name]
		if !e.turn(i, name) {
			continue
		}
		if s := e.site(i, func(s site) bool { return edit(cloned(tree), s) != nil }); s != nil {
			all[name] = edited(t, tree, edit, *s)
		}
	}
	for i, name := range sortedNames(textEdits()) {
		edit := textEdits()[name]
		if !e.turn(i, name) {
			continue
		}
		if s := e.site(i, func(s site) bool { return edit(e.data, s) != nil }); s != nil {
			all[name] = *edit(e.data, *s)
		}
	}
	for i, name := range sortedNames(fileEdits()) {
		if e.turn(i, name) {
			all[name] = fileEdits()[name](e.data)
		}
	}
	return all
}

// turn reports whether a kind of mistakes is made in the example.
func (e *example) turn(kind int, name string) bool {
	if strings.HasPrefix(name, "huge") {
		return e.index == 0
	}
	return len(e.data) < 4000 || (e.index+kind)%seldom == 0
}

// site returns a site that is fit, another for each kind, or nil.
func (e *example) site(kind int, fit func(site) bool) *site {
	for i := range e.sites {
		if s := &e.sites[(i+(kind+1)*17)%len(e.sites)]; fit(*s) {
			return s
		}
	}
	return nil
}

func sortedNames[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}

// edited makes a mutant by an edit of the tree: the place of the mistake is
// that of its node once the tree is text again.
func edited(t *testing.T, whole *yaml.Node, edit treeEdit, s site) mutant {
	t.Helper()
	tree := cloned(whole)
	mistake := edit(tree, s)
	var b bytes.Buffer
	if err := yaml.NewEncoder(&b).Encode(tree); err != nil {
		t.Fatal(err)
	}
	path, ok := pathTo(tree, mistake.at)
	if !ok {
		t.Fatal("the node of the mistake is not in the tree")
	}
	at := follow(parseTree(t, b.Bytes()), path)
	return mutant{text: b.Bytes(), line: at.Line, col: at.Column, want: mistake.want, key: mistake.key}
}

func checkMutant(t *testing.T, kind string, e *example, m mutant) {
	t.Helper()
	c, err := e.parse(m.text)
	wantReadable(t, kind, m.text, err)
	if m.want == "" {
		if err != nil {
			t.Errorf("%s: want no error, got:\n%v", kind, err)
		} else if diff := diffConfigs(e.whole, c); diff != "" {
			t.Errorf("%s: another configuration:\n%s", kind, diff)
		}
		return
	}
	var all Errors
	errors.As(err, &all)
	if !slices.ContainsFunc(all, m.matches) {
		t.Errorf("%s: want %q about %q at %d:%d, got:\n%.2000v\n%s", kind, m.want, m.key, m.line, m.col, err, around(m))
	}
}

// matches reports whether an error is the one that the mutant has to give.
func (m mutant) matches(e *Error) bool {
	there := m.line == 0 || e.Line == m.line || m.below && e.Line > m.line && strings.Contains(e.Hint, "the line above")
	return there && (m.col == 0 || e.Col == m.col) &&
		strings.Contains(e.Error(), m.want) && strings.Contains(e.Path+" "+e.Problem, m.key)
}

// around returns the lines of a mutant around its mistake.
func around(m mutant) string {
	lines := strings.Split(string(m.text), "\n")
	from, to := min(len(lines), max(0, m.line-3)), min(len(lines), m.line+2)
	return fmt.Sprintf("%.400s", strings.Join(lines[from:to], "\n"))
}

// wantReadable checks what holds for whatever is told of any file.
func wantReadable(t *testing.T, kind string, text []byte, err error) {
	t.Helper()
	var all Errors
	if err != nil && (!errors.As(err, &all) || len(all) == 0) {
		t.Fatalf("%s: got %v, want Errors", kind, err)
	}
	lines := bytes.Split(text, []byte{'\n'})
	for _, e := range all {
		switch {
		case e.File == "" || e.Problem == "" || e.Line < 1 || e.Col < 1:
			t.Errorf("%s: no place or no problem: %#v", kind, e)
		case len(e.Error()) > longestError:
			t.Errorf("%s: the error has %d bytes: %.200v...", kind, len(e.Error()), e)
		case e.File == "secure":
		case e.Line > len(lines) || e.Col > utf8.RuneCount(lines[e.Line-1])+1:
			t.Errorf("%s: no such place: %v", kind, e)
		}
	}
}

func diffConfigs(a, b *Config) string {
	return cmp.Diff(a, b,
		cmp.Comparer(func(a, b Secret) bool { return a.Reveal() == b.Reveal() }),
		cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() }))
}

func examples(t *testing.T) []*example {
	t.Helper()
	all := ownExamples(t)
	dir := os.Getenv("POOLD_CORPUS")
	if dir == "" {
		return all
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.yaml"))
	for _, file := range files {
		// What has errors already is none of ours.
		if e, err := readExample(t, file); err == nil {
			e.index = len(all)
			all = append(all, e)
		}
	}
	return all
}

// ownExamples are the project's files.
func ownExamples(t *testing.T) []*example {
	t.Helper()
	var all []*example
	for _, pattern := range []string{"../nodepool.yaml", "../docs/examples/[ns]*.yaml", "testdata/good/*.yaml"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			if filepath.Base(file) == "secure.yaml" {
				continue
			}
			e, err := readExample(t, file)
			if err != nil {
				t.Fatal(err)
			}
			e.index = len(all)
			all = append(all, e)
		}
	}
	return all
}

func readExample(t *testing.T, file string) (*example, error) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	e := &example{name: filepath.Base(file), data: data}
	beside := strings.TrimSuffix(file, ".yaml") + ".secure"
	if file == "../docs/examples/nodepool.yaml" {
		beside = "../docs/examples/secure.yaml"
	}
	if secure, err := os.ReadFile(beside); err == nil {
		e.secure = &Source{Name: "secure", Data: secure}
	}
	if e.whole, err = e.parse(data); err != nil {
		return nil, err
	}
	main := documentKeys()
	e.sites = sitesOf(parseTree(t, data).Content[0], main.section(), []int{0})
	return e, nil
}
