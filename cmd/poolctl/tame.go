package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"
)

// tame writes text for a terminal. What clients, nodes and clouds say is in the
// records, and some of it could be meant for the terminal of whoever reads them.
type tame struct{ to io.Writer }

// Write shows what would be obeyed.
func (t tame) Write(text []byte) (int, error) {
	if _, err := io.WriteString(t.to, printable(string(text))); err != nil {
		return 0, err
	}
	return len(text), nil
}

// printable writes every character that a terminal would obey as JSON does, so that
// JSON stays the same.
func printable(text string) string {
	if !strings.ContainsFunc(text, obeyed) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if obeyed(r) {
			_, _ = fmt.Fprintf(&b, `\u%04x`, r) // it cannot fail
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// obeyed tells a character that does something from one that is seen. Those that
// turn the direction of writing make a line look like another.
func obeyed(r rune) bool {
	return r != '\n' && r != '\t' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
}
