package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Error is one thing that is wrong with a file. Line and Col count from 1, Col
// in characters.
type Error struct {
	File      string
	Line, Col int
	// Path leads to the value, as in providers[1].pools[0].name; empty for
	// the file as a whole.
	Path    string
	Problem string
	// Hint says what may help; it may be empty.
	Hint string
}

// Error returns file:line:col: path: problem (hint).
func (e *Error) Error() string {
	text := placed(e.File, e.Line, e.Col, e.Path) + e.Problem
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	return text
}

// Errors is everything that is wrong, sorted by file and position.
type Errors []*Error

// Error returns one line for each error.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the errors, for errors.As.
func (es Errors) Unwrap() []error {
	all := make([]error, len(es))
	for i, e := range es {
		all[i] = e
	}
	return all
}

// Note is something that is accepted and that its author should know about:
// a key without a meaning here, a label that is offered nowhere.
type Note struct {
	File      string
	Line, Col int
	Path      string
	Text      string
}

// String returns file:line:col: path: text.
func (n Note) String() string {
	return placed(n.File, n.Line, n.Col, n.Path) + n.Text
}

func placed(file string, line, col int, path string) string {
	text := fmt.Sprintf("%s:%d:%d: ", file, line, col)
	if path != "" {
		text += path + ": "
	}
	return text
}

// mark is the place of a value in a file, in the coordinates of the expanded
// text.
type mark struct {
	src       *source
	line, col int
	path      string
}

// longestQuote is how many characters of a value are shown: by a slip of the
// indentation or of a quote half a file may be one.
const longestQuote = 80

// quote returns a value in quotes, unless it holds what came out of the
// environment.
func (m mark) quote(text string) string {
	if m.src.holdsExpansion(text) {
		return hidden
	}
	return strconv.Quote(shortened(text))
}

// shortened is a text of which an error can show all.
func shortened(text string) string {
	if all := []rune(text); len(all) > longestQuote {
		return string(all[:longestQuote]) + "..."
	}
	return text
}

// report collects errors and notes. The same problem at the same position is
// kept once: an anchor that is used ten times is wrong once.
type report struct {
	errs  []placedError
	notes []placedNote
	seen  map[string]bool
}

type placedError struct {
	order int
	err   *Error
	// legacy marks a key of a syntax that is refused as a whole.
	legacy bool
}

type placedNote struct {
	order int
	note  Note
}

func newReport() *report {
	return &report{seen: map[string]bool{}}
}

// errorf adds an error without a hint.
func (r *report) errorf(at mark, format string, args ...any) {
	r.add(at, placedError{err: &Error{Problem: fmt.Sprintf(format, args...)}})
}

// hint adds an error with a hint, which may be empty.
func (r *report) hint(at mark, hint, format string, args ...any) {
	r.add(at, placedError{err: &Error{Problem: fmt.Sprintf(format, args...), Hint: hint}})
}

// legacy adds an error that makes all others moot.
func (r *report) legacy(at mark, format string, args ...any) {
	r.add(at, placedError{err: &Error{Problem: fmt.Sprintf(format, args...)}, legacy: true})
}

func (r *report) add(at mark, p placedError) {
	p.order = at.src.order
	p.err.File, p.err.Path = at.src.name, at.path
	p.err.Line, p.err.Col = at.src.original(at.line, at.col)
	if r.first(p.err.File, p.err.Line, p.err.Col, p.err.Problem) {
		r.errs = append(r.errs, p)
	}
}

// notef adds a note.
func (r *report) notef(at mark, format string, args ...any) {
	n := Note{File: at.src.name, Path: at.path, Text: fmt.Sprintf(format, args...)}
	n.Line, n.Col = at.src.original(at.line, at.col)
	if r.first(n.File, n.Line, n.Col, n.Text) {
		r.notes = append(r.notes, placedNote{order: at.src.order, note: n})
	}
}

func (r *report) first(file string, line, col int, text string) bool {
	key := fmt.Sprintf("%s:%d:%d:%s", file, line, col, text)
	if r.seen[key] {
		return false
	}
	r.seen[key] = true
	return true
}

// err returns all errors in order, or nil. Of a file in an old syntax only the
// first old key is told: every other line would be wrong too.
func (r *report) err() error {
	if len(r.errs) == 0 {
		return nil
	}
	slices.SortStableFunc(r.errs, func(a, b placedError) int {
		return cmp.Or(
			cmp.Compare(a.order, b.order),
			cmp.Compare(a.err.Line, b.err.Line),
			cmp.Compare(a.err.Col, b.err.Col),
		)
	})
	var all Errors
	for _, p := range r.errs {
		if p.legacy {
			return Errors{p.err}
		}
		all = append(all, p.err)
	}
	return all
}

// sortedNotes returns all notes in order.
func (r *report) sortedNotes() []Note {
	slices.SortStableFunc(r.notes, func(a, b placedNote) int {
		return cmp.Or(
			cmp.Compare(a.order, b.order),
			cmp.Compare(a.note.Line, b.note.Line),
			cmp.Compare(a.note.Col, b.note.Col),
		)
	})
	var all []Note
	for _, p := range r.notes {
		all = append(all, p.note)
	}
	return all
}
