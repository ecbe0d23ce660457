package config

import (
	"fmt"
	"strings"
	"testing"

	"poold/internal/golden"
)

const referenceFile = "../docs/configuration.md"

const referenceHead = `<!-- Made by go test ./config -update from the tables in config/keys*.go. Do not edit. -->

# Configuration

poold reads one YAML file, ` + "`nodepool.yaml`" + `, in the syntax of nodepool 3 and later, and if it is told so a
second one for secrets. A key that is not listed here, a key given twice, a value of another type and a name that
refers to nothing are errors. All errors are shown at once, as ` + "`file:line:col: path: problem`" + `; with any error the
file is not used. ` + "`poold check -c FILE`" + ` shows them, and notes on what is accepted and has no effect.

Before a file is read as YAML, ` + "`%(NODEPOOL_NAME)`" + ` is replaced by the environment variable of that name; if there is
none it stays, with a note. Anchors, aliases and merge keys (` + "`<<`" + `) may be used. A key without a value is the same as
no key. Numbers, booleans and dates in mappings of strings are taken as they are written.

Times in nodepool's keys are whole seconds. See [an example](examples/nodepool.yaml) with its
[secure file](examples/secure.yaml).

[nodepool.schema.json](nodepool.schema.json) is this page as a JSON schema, for editors that complete keys and mark
mistakes. With yaml-language-server a file names it in its first line: ` + "`# yaml-language-server: $schema=PATH-OR-URL`" + `. It
knows keys and types, and not which names refer to something: ` + "`poold check`" + ` does.
`

// TestReference checks that the documentation is that of the tables.
func TestReference(t *testing.T) {
	var b strings.Builder
	b.WriteString(referenceHead)
	main, secure := documentKeys(), secureKeys()
	writeSection(&b, main.section())
	writeSection(&b, secure.section())
	golden.Equal(t, referenceFile, b.String())
}

// TestEveryKeyIsDocumented checks that each key says what it is, in a
// sentence.
func TestEveryKeyIsDocumented(t *testing.T) {
	main, secure := documentKeys(), secureKeys()
	keys := 0
	var walk func(s *section)
	walk = func(s *section) {
		for _, k := range s.keys {
			keys++
			switch {
			case k.status == meant && (k.kind == "" || !strings.HasSuffix(k.text, ".")):
				t.Errorf("%s: %s has no type or no sentence", s.title, k.name)
			case k.text == "":
				t.Errorf("%s: %s says nothing", s.title, k.name)
			}
			if k.sub != nil {
				walk(k.sub)
			}
		}
		if s.other != nil {
			walk(s.other)
		}
	}
	walk(main.section())
	walk(secure.section())
	if keys < 100 {
		t.Errorf("only %d keys", keys)
	}
}

func writeSection(b *strings.Builder, s *section) {
	fmt.Fprintf(b, "\n## %s\n\n", s.title)
	if s.about != "" {
		fmt.Fprintf(b, "%s\n\n", s.about)
	}
	b.WriteString("| key | type | default | meaning |\n|---|---|---|---|\n")
	for i, k := range s.keys {
		if k.status != meant {
			continue
		}
		standard := s.defaults[i]
		if k.required {
			standard = "required"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", k.name, k.kind, standard, k.text)
	}
	writeRest(b, s, ignored, "Accepted, and without effect:")
	writeRest(b, s, refused, "Refused, as syntax from before version 3:")
	for _, k := range s.keys {
		if k.sub != nil {
			writeSection(b, k.sub)
		}
	}
	if s.other != nil {
		writeSection(b, s.other)
	}
}

func writeRest(b *strings.Builder, s *section, which status, head string) {
	begun := false
	for _, k := range s.keys {
		if k.status != which {
			continue
		}
		if !begun {
			fmt.Fprintf(b, "\n%s\n\n", head)
			begun = true
		}
		fmt.Fprintf(b, "- `%s`: %s.\n", k.name, k.text)
	}
}
