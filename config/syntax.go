package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// root returns the only document of a file: nil if the file is empty, and
// false, reported, if it is not one YAML document.
func root(src *source, r *report) (*yaml.Node, bool) {
	if at := firstInvalid(src.after); at >= 0 {
		line, col := lineCol(src.after, at)
		r.errorf(mark{src: src, line: line, col: col}, "not YAML: bytes that are not UTF-8")
		return nil, false
	}
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

// firstInvalid returns the offset of the first byte that is not UTF-8, or -1.
// The library would take UTF-16 too, in which no variable of the environment
// is found.
func firstInvalid(text []byte) int {
	for at := 0; at < len(text); {
		c, size := utf8.DecodeRune(text[at:])
		if c == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return -1
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
	if explainQuote(src, cause, begin, line, r) {
		return
	}
	problem, hint := plainWords(cause, text[begin:at+min(1, len(text)-at)])
	whole, _, _ := bytes.Cut(text[begin:], []byte{'\n'})
	if regexp.MustCompile(`\{\{|\{%`).Match(whole) {
		problem, hint = "this looks like a template", renderFirst
	}
	m := mark{src: src, line: line, col: col}
	// These errors show behind the name, perhaps in the next line.
	marks := map[string]string{noAnchor: "*", badAnchor: "*&"}[problem]
	if i := bytes.LastIndexAny(text[:min(len(text), at+1)], marks); i >= 0 {
		m.line, m.col = lineCol(text, i)
	}
	r.hint(m, hint, "not YAML: %s", problem)
}

// endInQuote is how the library tells of a text that ends inside quotes.
const endInQuote = "found unexpected end of stream"

// linesBack is how many lines above the place that the library finds wrong a
// quote may end. It often takes the next key for part of a value.
const linesBack = 5

// explainQuote reports an error in a line that begins, at an offset, inside
// quotes: a quote that is forgotten lasts until the next one, which may be many
// lines below, and what is wrong there is no help.
func explainQuote(src *source, cause error, begin, line int, r *report) bool {
	head, end := src.after[:begin], "ends in line "+strconv.Itoa(line)
	for range linesBack {
		if err := syntaxError(head); err == nil || strings.Contains(err.Error(), endInQuote) {
			break
		}
		head = head[:bytes.LastIndexByte(head[:max(0, len(head)-1)], '\n')+1]
		line--
		end = "ends in line " + strconv.Itoa(line)
	}
	if strings.Contains(cause.Error(), endInQuote) {
		head, end = src.after, "does not end"
	}
	at := openQuote(head)
	if at < 0 {
		return false
	}
	m := mark{src: src}
	m.line, m.col = lineCol(head, at)
	r.hint(m, "close it", "not YAML: the quote that begins here %s", end)
	return true
}

// mostTries is how many quotes of a line are tried. Behind the one that is open
// there are only those of the other kind, and those in the text.
const mostTries = 20

// openQuote returns where the quote begins that is still open at the end of
// the text, or -1 if there is none.
func openQuote(text []byte) int {
	open := func(text []byte) bool {
		err := syntaxError(text)
		return err != nil && strings.Contains(err.Error(), endInQuote)
	}
	if !open(text) {
		return -1
	}
	// The library tells the line of the quote, or another if that is the
	// first.
	told := regexp.MustCompile(`line (\d+)`).FindStringSubmatch(syntaxError(text).Error())
	for _, word := range append(told, "1") {
		number, err := strconv.Atoi(word)
		if err != nil {
			continue
		}
		whole, _, _ := bytes.Cut(text[offset(text, number, 1):], []byte{'\n'})
		tries := 0
		for i, c := range slices.Backward(whole) {
			if c != '"' && c != '\'' {
				continue
			}
			if tries++; tries > mostTries {
				break
			}
			at := offset(text, number, 1) + i
			if open(text[:at+1]) && !open(text[:at]) {
				return at
			}
		}
	}
	return -1
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

// badAnchor is the problem of the name of an anchor that is none.
const badAnchor = "the name of an anchor has letters, digits, _ and - only"

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
		{"did not find expected alphabetic or numeric character", badAnchor, "a value that begins with * or & must be in quotes"},
		{"found character that cannot start any token", "a value cannot begin with this character", "put it in quotes; see whether the line above leaves a bracket open"},
		{"mapping values are not allowed", "a colon where no key can be", "check the indentation and the line above, or put the value in quotes"},
		{"did not find expected key", "expected a key here", "check the indentation and the quotes above"},
		{"did not find expected '-' indicator", "expected a list item here", "check the indentation"},
		{"did not find expected ',' or", "a list or mapping in brackets is not closed", ""},
		{"could not find expected ':'", "a key without a colon", ""},
		{"found unexpected end of stream", "a quote is not closed", ""},
		{"did not find expected node content", "expected a value here", ""},
		{"block sequence entries are not allowed", "a list item where none can be", "check the indentation"},
		{"found undefined tag handle", "an unknown tag", "a value that begins with ! must be in quotes"},
		{"control characters are not allowed", "a control character", ""},
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
