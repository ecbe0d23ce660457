package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "poold"

// source is one directory of Go files: what is declared, not what is built,
// so that files behind a build tag are held to the rules too.
type source struct {
	dir     string // below the module, with slashes
	name    string // of the package
	comment string // of the package, from any of its non-test files
	imports []string
	hasCode bool // it has files that are not tests
}

// root is the directory of go.mod, two above this package.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatalf("this package moved: no go.mod where it was: %v", err)
	}
	return dir
}

// files lists every file of the repository, with slashes, sorted. What build
// and tools leave behind is not part of it.
func files(t *testing.T) []string {
	t.Helper()
	top := root(t)
	var found []string
	err := filepath.WalkDir(top, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, name)
		if err != nil {
			return err
		}
		left := slices.Contains([]string{".git", ".tools", ".cache", "bin"}, rel)
		if left && entry.IsDir() {
			return filepath.SkipDir
		}
		if !left && entry.Type().IsRegular() {
			found = append(found, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// read returns a file's text.
func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sources reads every directory with Go files, sorted by path.
func sources(t *testing.T) []*source {
	t.Helper()
	found := map[string]*source{}
	for _, file := range files(t) {
		if !strings.HasSuffix(file, ".go") || strings.Contains("/"+file, "/testdata/") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, read(t, file), parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		dir := path.Dir(file)
		if found[dir] == nil {
			found[dir] = &source{dir: dir}
		}
		if !strings.HasSuffix(file, "_test.go") {
			found[dir].add(parsed)
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b *source) int { return strings.Compare(a.dir, b.dir) })
}

// add takes one file that is not a test into account.
func (s *source) add(file *ast.File) {
	s.hasCode = true
	s.name = file.Name.Name
	if file.Doc != nil {
		s.comment += file.Doc.Text()
	}
	for _, spec := range file.Imports {
		name := strings.Trim(spec.Path.Value, `"`)
		if !slices.Contains(s.imports, name) {
			s.imports = append(s.imports, name)
		}
	}
}
