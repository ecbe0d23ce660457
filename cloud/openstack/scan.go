package openstack

import (
	"bufio"
	"fmt"
	"io"
)

// maxValue bounds one value, which is a server at most.
const maxValue = 4 << 20

// scanner cuts JSON into its values without reading them, which is most of the
// work for values that are known. It finds their ends in whatever is JSON; that
// it is, whoever reads a value finds out.
type scanner struct {
	in    *bufio.Reader
	value []byte
}

func newScanner(r io.Reader) *scanner { return &scanner{in: bufio.NewReader(r)} }

// peek returns the next byte that is no space, and leaves it there.
func (s *scanner) peek() (byte, error) {
	for {
		c, err := s.in.ReadByte()
		switch {
		case err == io.EOF:
			return 0, io.ErrUnexpectedEOF
		case err != nil:
			return 0, err
		case !space(c):
			return c, s.in.UnreadByte()
		}
	}
}

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// expect takes the next byte, which must be want.
func (s *scanner) expect(want byte) error {
	got, err := s.peek()
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%q where %q should be", got, want)
	}
	_, err = s.in.ReadByte()
	return err
}

// more tells whether the list or object that was begun goes on; it takes the
// comma in between, or the end.
func (s *scanner) more(first bool, end byte) (bool, error) {
	got, err := s.peek()
	switch {
	case err != nil:
		return false, err
	case got == end:
		return false, s.expect(end)
	case first:
		return true, nil
	}
	return true, s.expect(',')
}

// each goes through a list or an object, value by value.
func (s *scanner) each(begin, end byte, value func() error) error {
	err := s.expect(begin)
	for first := true; err == nil; first = false {
		more, failed := s.more(first, end)
		if failed != nil || !more {
			return failed
		}
		err = value()
	}
	return err
}

// next returns the text of the next value, good until the next call.
func (s *scanner) next() ([]byte, error) {
	if _, err := s.peek(); err != nil {
		return nil, err
	}
	s.value = s.value[:0]
	var in nesting
	for {
		if _, err := s.in.Peek(1); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		chunk, err := s.in.Peek(s.in.Buffered())
		if err != nil {
			return nil, err
		}
		n, ended := in.pass(chunk)
		if len(s.value)+n > maxValue {
			return nil, errTooMuch
		}
		s.value = append(s.value, chunk[:n]...)
		if _, err := s.in.Discard(n); err != nil {
			return nil, err
		}
		if ended {
			return s.value, nil
		}
	}
}

// nesting is where in a value one is.
type nesting struct {
	depth   int
	text    bool // within a string
	escaped bool // right after a backslash
}

// pass goes through a part of a value and returns how much of it belongs to
// the value, and whether that has ended.
func (in *nesting) pass(chunk []byte) (n int, ended bool) {
	for i, c := range chunk {
		if in.text {
			if in.quoted(c) {
				return i + 1, true
			}
			continue
		}
		switch c {
		case '"':
			in.text = true
		case '{', '[':
			in.depth++
		case '}', ']', ',', ' ', '\t', '\n', '\r':
			if in.depth == 0 {
				return i, true // the end of a number or a word
			}
			if c == '}' || c == ']' {
				if in.depth--; in.depth == 0 {
					return i + 1, true
				}
			}
		}
	}
	return len(chunk), false
}

// quoted takes in a byte of a string and tells whether the value ends with it.
func (in *nesting) quoted(c byte) bool {
	switch {
	case in.escaped:
		in.escaped = false
	case c == '\\':
		in.escaped = true
	case c == '"':
		in.text = false
		return in.depth == 0
	}
	return false
}
