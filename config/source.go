package config

import (
	"bytes"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"
)

// Source is a file that was read.
type Source struct {
	// Name is how errors call it, usually its path.
	Name string
	Data []byte
}

// source is a file after the environment was put in.
type source struct {
	name string
	// order sorts the errors of one file before those of the next.
	order int
	// secure marks the secure file, whose unknown words are not shown.
	secure bool
	// before and after are the text without and with the environment.
	before, after []byte
	spans         []span
	// values are what came out of the environment: never to be printed.
	values []string
}

// span is a place where the text was replaced; offsets in bytes.
type span struct {
	beforeStart, beforeEnd int
	afterStart, afterEnd   int
}

// expand replaces every %(NAME) by the environment variable of that name, if
// the name starts with NODEPOOL_ and the variable is set. It notes those that
// are not set and leaves them as they are.
func expand(s Source, order int, env func(string) (string, bool), r *report) *source {
	src := &source{name: s.Name, order: order, before: s.Data}
	var out bytes.Buffer
	done := 0
	for _, m := range regexp.MustCompile(`%\((NODEPOOL_[^()\s]*)\)`).FindAllSubmatchIndex(s.Data, -1) {
		name := string(s.Data[m[2]:m[3]])
		value, ok := env(name)
		if !ok {
			line, col := lineCol(s.Data, m[0])
			unexpanded := &source{name: s.Name, order: order}
			r.notef(mark{src: unexpanded, line: line, col: col}, "%%(%s) stays as it is: the environment has no %s", name, name)
			continue
		}
		out.Write(s.Data[done:m[0]])
		start := out.Len()
		out.WriteString(value)
		src.spans = append(src.spans, span{m[0], m[1], start, out.Len()})
		if value != "" {
			src.values = append(src.values, value)
		}
		done = m[1]
	}
	out.Write(s.Data[done:])
	src.after = out.Bytes()
	return src
}

// holdsExpansion reports whether a text contains what came out of the
// environment.
func (s *source) holdsExpansion(text string) bool {
	for _, v := range s.values {
		if strings.Contains(text, v) || strings.Contains(v, text) && text != "" {
			return true
		}
	}
	return false
}

// original turns a position in the expanded text into one in the file.
func (s *source) original(line, col int) (int, int) {
	if len(s.spans) == 0 {
		return max(1, line), max(1, col)
	}
	at := offset(s.after, line, col)
	i := sort.Search(len(s.spans), func(i int) bool { return s.spans[i].afterEnd > at })
	if i < len(s.spans) && at >= s.spans[i].afterStart {
		return lineCol(s.before, s.spans[i].beforeStart)
	}
	if i > 0 {
		at += s.spans[i-1].beforeEnd - s.spans[i-1].afterEnd
	}
	return lineCol(s.before, at)
}

// start is the mark of the file as a whole.
func (s *source) start() mark {
	return mark{src: s, line: 1, col: 1}
}

// lineCol returns the line and column, from 1, of an offset in bytes.
func lineCol(text []byte, at int) (int, int) {
	head := text[:min(at, len(text))]
	begin := bytes.LastIndexByte(head, '\n') + 1
	return bytes.Count(head, []byte{'\n'}) + 1, utf8.RuneCount(head[begin:]) + 1
}

// offset is the inverse of lineCol; positions outside the text are moved to
// its edge.
func offset(text []byte, line, col int) int {
	at := 0
	for range line - 1 {
		next := bytes.IndexByte(text[at:], '\n')
		if next < 0 {
			return len(text)
		}
		at += next + 1
	}
	for range col - 1 {
		_, size := utf8.DecodeRune(text[at:])
		at += size
	}
	return at
}
