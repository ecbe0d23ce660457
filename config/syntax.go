package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"sort"
	"strings"

	"gopkg.in/yaml.v3"
)

// root returns the only document of a file: nil if the file is empty, and
// false, reported, if it is not one YAML document.
func root(src *source, r *report) (*yaml.Node, bool) {
	dec := yaml.NewDecoder(bytes.NewReader(src.after))
	var doc, second yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, true
	}
	if err == nil {
		err = dec.Decode(&second)
		if err == nil {
			at := mark{src: src, line: second.Line, col: second.Column}
			r.errorf(at, "a second document begins here; one file is one document")
			return nil, false
		}
	}
	if !errors.Is(err, io.EOF) {
		explainSyntax(src, err, r)
		return nil, false
	}
	if len(doc.Content) == 0 || isNull(doc.Content[0]) {
		return nil, true
	}
	return doc.Content[0], true
}

// explainSyntax reports an error of the YAML library, which gives at best the
// line where the enclosing block began. The place is found by looking for the
// shortest beginning of the file that fails in the same way.
func explainSyntax(src *source, cause error, r *report) {
	text := src.after
	n := sort.Search(len(text), func(n int) bool {
		err := syntaxError(text[:n])
		return err != nil && err.Error() == cause.Error()
	})
	at := max(0, n-1)
	begin := bytes.LastIndexByte(text[:at], '\n') + 1
	line, col := lineCol(text, at)
	problem, hint := plainWords(cause, text[begin:at+min(1, len(text)-at)])
	whole, _, _ := bytes.Cut(text[begin:], []byte{'\n'})
	if regexp.MustCompile(`\{\{|\{%`).Match(whole) {
		problem, hint = "this looks like a template", renderFirst
	}
	m := mark{src: src, line: line, col: col}
	if star := bytes.LastIndexByte(text[begin:at], '*'); problem == noAnchor && star >= 0 {
		// The error shows at the end of the name.
		m.line, m.col = lineCol(text, begin+star)
	}
	r.hint(m, hint, "not YAML: %s", problem)
}

// renderFirst is the hint for what is not YAML yet.
const renderFirst = "render it first"

// syntaxError reads all documents and returns the first error.
func syntaxError(text []byte) error {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var n yaml.Node
		if err := dec.Decode(&n); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// noAnchor is the problem of an alias without an anchor. It does not name the
// anchor, which may be a password that begins with a star.
const noAnchor = "there is no anchor of this name"

// plainWords says what an error of the YAML library means, and what may help;
// line is the text of its line up to the place.
func plainWords(cause error, line []byte) (problem, hint string) {
	text := cause.Error()
	indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
	if bytes.ContainsRune(indent, '\t') {
		return "a tab in the indentation", "use spaces"
	}
	for _, c := range []struct{ theirs, ours, hint string }{
		{"unknown anchor", noAnchor, "a value that begins with * must be in quotes"},
		{"found character that cannot start any token", "a value cannot begin with this character", "put it in quotes"},
		{"mapping values are not allowed", "a colon where no key can be", "check the indentation, or put the value in quotes"},
		{"did not find expected key", "expected a key here", "check the indentation and the quotes above"},
		{"did not find expected '-' indicator", "expected a list item here", "check the indentation"},
		{"did not find expected ',' or", "a list or mapping in brackets is not closed", ""},
		{"could not find expected ':'", "a key without a colon", ""},
		{"found unexpected end of stream", "a quote is not closed", ""},
		{"did not find expected node content", "expected a value here", ""},
		{"block sequence entries are not allowed", "a list item where none can be", "check the indentation"},
		{"found undefined tag handle", "an unknown tag", "a value that begins with ! must be in quotes"},
		{"control characters are not allowed", "a control character", ""},
		{"invalid", "bytes that are not UTF-8", ""},
		{"exceeded max depth", "nested too deeply", ""},
	} {
		if strings.Contains(text, c.theirs) {
			return c.ours, c.hint
		}
	}
	return regexp.MustCompile(`^yaml: (line \d+: )?`).ReplaceAllString(text, ""), ""
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}
