package config

import "fmt"

// hidden stands for every secret that is printed.
const hidden = "<secret>"

// Secret is a text that never shows itself: every way of printing or encoding
// it gives "<secret>", or "" if it is empty. [Secret.Reveal] returns the text.
type Secret struct {
	// text is behind a pointer, so that printing a struct by reflection shows
	// an address at most.
	text *string
}

// NewSecret hides a text.
func NewSecret(text string) Secret {
	return Secret{text: &text}
}

// Reveal returns the text, to be given to whoever needs it and to nobody else.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String returns "<secret>", or "" if there is none.
func (s Secret) String() string {
	if s.Reveal() == "" {
		return ""
	}
	return hidden
}

// Format prints the same as String whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) {
	// A formatter cannot report an error; the state keeps it.
	_, _ = f.Write([]byte(s.String()))
}

// MarshalText encodes the same as String, for JSON, XML and zap's reflection.
func (s Secret) MarshalText() ([]byte, error) {
	return []byte(s.String()), nil
}

// MarshalYAML encodes the same as String.
func (s Secret) MarshalYAML() (any, error) {
	return s.String(), nil
}
