package config

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"

	"gopkg.in/yaml.v3"
)

// textEdit makes one mistake at a site of a text, or returns nil if the site is
// not fit for it.
type textEdit func(text []byte, s site) *mutant

// tooDeep is more levels than the YAML library takes.
const tooDeep = 10_500

// textEdits are the mistakes that are no YAML, or another than was meant.
func textEdits() map[string]textEdit {
	return map[string]textEdit{
		"tab": func(text []byte, s site) *mutant {
			from := offset(text, s.key.Line, 1)
			to := offset(text, s.key.Line, s.key.Column)
			if s.flow || to == from || len(bytes.TrimLeft(text[from:to], " ")) > 0 {
				return nil
			}
			return &mutant{text: spliced(text, from, to, "\t"), line: s.key.Line, want: "a tab in the indentation (use spaces)"}
		},
		"less indentation": func(text []byte, s site) *mutant {
			from := offset(text, s.key.Line, 1)
			to := offset(text, s.key.Line, s.key.Column)
			if s.flow || s.index == 0 || to == from || len(bytes.TrimLeft(text[from:to], " ")) > 0 {
				return nil
			}
			return &mutant{text: spliced(text, from, from+1, ""), line: s.key.Line, want: "(check the indentation"}
		},
		"not UTF-8": before("\xff", func(s site) mutant {
			return mutant{line: s.value.Line, col: s.value.Column, want: "not YAML: bytes that are not UTF-8"}
		}),
		"control character": before("\x07", func(s site) mutant {
			return mutant{line: s.value.Line, col: s.value.Column, want: "not YAML: a control character"}
		}),
		"quote not closed": before(`"`, func(s site) mutant {
			return mutant{line: s.value.Line, col: s.value.Column, want: "not YAML: the quote that begins here"}
		}),
		"bracket not closed": before(`[`, func(s site) mutant {
			return mutant{line: s.value.Line, below: true, want: "bracket"}
		}),
		"unknown anchor": before(`*nobody-`, func(s site) mutant {
			return mutant{line: s.value.Line, col: s.value.Column, want: " anchor "}
		}),
		"template": before(`{{ x }} #`, func(s site) mutant {
			return mutant{line: s.value.Line, want: "looks like a template"}
		}),
		"huge depth": before(strings.Repeat("[", tooDeep), func(s site) mutant {
			return mutant{line: s.value.Line, want: "nested too deeply"}
		}),
		"deep": before(strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+" #", func(s site) mutant {
			return mutant{line: s.value.Line, col: s.value.Column, want: "found a list", key: s.doc.name}
		}),
		"huge word": before("["+strings.Repeat("x", 1<<16)+"] #", func(s site) mutant {
			return mutant{line: s.value.Line, col: s.value.Column, want: "found a list", key: s.doc.name}
		}),
		"long reference": func(text []byte, s site) *mutant {
			if s.table != "providers[].pools[].labels[]" || s.doc.name != "name" {
				return nil
			}
			return before(strings.Repeat("x", 1<<12), func(s site) mutant {
				return mutant{line: s.value.Line, col: s.value.Column, want: "there is no label", key: "name"}
			})(text, s)
		},
		"no colon": func(text []byte, s site) *mutant {
			if s.flow || s.value.Line != s.key.Line || s.value.Kind != yaml.ScalarNode {
				return nil
			}
			at := offset(text, s.key.Line, s.key.Column) + len(s.key.Value)
			return &mutant{text: spliced(text, at, at+1, ""), line: s.key.Line, below: true, want: " "}
		},
		"cut in a key": func(text []byte, s site) *mutant {
			at := offset(text, s.key.Line, s.key.Column) + len(s.key.Value)
			if s.flow || len(s.path) == 1 || s.mapping.Anchor != "" {
				return nil
			}
			return &mutant{text: slices.Clone(text[:at]), line: s.key.Line, want: " "}
		},
		"cut in brackets": func(text []byte, s site) *mutant {
			if s.value.Kind != yaml.SequenceNode || s.value.Style&yaml.FlowStyle == 0 || s.value.Anchor != "" {
				return nil
			}
			at := offset(text, s.value.Line, s.value.Column)
			return &mutant{text: slices.Clone(text[:at+1]), line: s.value.Line, want: " "}
		},
	}
}

// before puts a text before the value of a key, if that is a bare word.
func before(what string, then func(s site) mutant) textEdit {
	return func(text []byte, s site) *mutant {
		if s.flow || s.doc.kind == "string, or list of strings" || s.value.Kind != yaml.ScalarNode || s.value.Style != 0 || s.value.Anchor != "" || s.value.Line != s.key.Line {
			return nil
		}
		at := offset(text, s.value.Line, s.value.Column)
		m := then(s)
		m.text = spliced(text, at, at, what)
		return &m
	}
}

// spliced is a text with something else between two offsets.
func spliced(text []byte, from, to int, what string) []byte {
	return slices.Concat(text[:from], []byte(what), text[to:])
}

// fileEdits are those of a file as a whole, harmless ones too.
func fileEdits() map[string]func(text []byte) mutant {
	return map[string]func([]byte) mutant{
		"nothing": func(text []byte) mutant { return mutant{text: text} },
		"line ends of Windows": func(text []byte) mutant {
			return mutant{text: bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))}
		},
		"byte order mark": func(text []byte) mutant { return mutant{text: append([]byte("\ufeff"), text...)} },
		"no last line end": func(text []byte) mutant {
			return mutant{text: bytes.TrimRight(text, "\n")}
		},
		"huge comment": func(text []byte) mutant {
			return mutant{text: append(bytes.Repeat([]byte("# "+strings.Repeat("x", 98)+"\n"), 2000), text...)}
		},
		"end of the document": func(text []byte) mutant { return mutant{text: append(slices.Clone(text), "\n...\n"...)} },
		"second document": func(text []byte) mutant {
			return mutant{text: append(slices.Clone(text), "\n---\nname: a\n"...), want: "a second document begins here"}
		},
		"UTF-16": func(text []byte) mutant {
			var b []byte
			for _, u := range utf16.Encode([]rune("\ufeff" + string(text))) {
				b = append(b, byte(u), byte(u>>8))
			}
			return mutant{text: b, line: 1, col: 1, want: "not UTF-8"}
		},
		"zero bytes at the end": func(text []byte) mutant {
			m := mutant{text: append(slices.Clone(text), make([]byte, 4096)...), want: "not YAML: a control character"}
			m.line, m.col = lineCol(text, len(text))
			return m
		},
		"nothing left": func([]byte) mutant { return mutant{want: "the file is empty", line: 1, col: 1} },
		"huge number of unknown keys": func(text []byte) mutant {
			m := mutant{text: append(slices.Clone(text), '\n'), want: "unknown key", key: "key-1999"}
			for i := range 2000 {
				m.text = fmt.Appendf(m.text, "key-%d: %d\n", i, i)
			}
			m.line, m.col = bytes.Count(m.text, []byte{'\n'}), 1
			return m
		},
	}
}
