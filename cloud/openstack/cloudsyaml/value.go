package cloudsyaml

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// The bounds of a file. Aliases can make a small file a huge tree.
const (
	maxValues = 100_000
	maxDepth  = 50
)

// value is a part of a file, with its place: a mapping, a list or a scalar.
// It is not changed once it was read.
type value struct {
	at Place
	// Exactly one of these is set, by kind.
	mapping map[string]*value
	list    []*value
	scalar  *scalar
}

// scalar is a single value as it is written.
type scalar struct {
	text string
	// plain says that it is written without quotes, so that YAML may take it
	// for something else than text.
	plain bool
	null  bool
}

// textValue makes a value that is not written in a file.
func textValue(at Place, text string) *value {
	return &value{at: at, scalar: &scalar{text: text}}
}

func (v *value) isNull() bool { return v.scalar != nil && v.scalar.null }

// get returns a value of a mapping, or nil.
func (v *value) get(key string) *value {
	if v == nil {
		return nil
	}
	return v.mapping[key]
}

// parse reads a file with one YAML (or JSON) document. An empty file is nil.
func parse(file string, b []byte) (*value, error) {
	d := yaml.NewDecoder(bytes.NewReader(b))
	var doc, more yaml.Node
	err := d.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, nil //nolint:nilnil // an empty file says nothing, and is no error
	}
	if err != nil {
		return nil, broken(file, err)
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, broken(file, err)
		}
		return nil, problemf(Place{file, more.Line}, "a second document begins here: put everything into the first")
	}
	p := parser{file: file}
	v, err := p.value(&doc, 0)
	if err != nil {
		return nil, err
	}
	if v.isNull() {
		return nil, nil //nolint:nilnil // see above
	}
	return v, nil
}

// lineWords is how the YAML library words an error whose place it knows.
var lineWords = regexp.MustCompile(`(?s)^line (\d+): (.*)$`)

// broken turns the words of the YAML library into a problem. It never says
// more than which rule was broken: an anchor or tag may be part of a password
// that should have been quoted.
func broken(file string, err error) error {
	words := strings.TrimPrefix(err.Error(), "yaml: ")
	at := Place{File: file}
	if m := lineWords.FindStringSubmatch(words); m != nil {
		at.Line, _ = strconv.Atoi(m[1]) // digits only
		words = m[2]
	}
	switch {
	case strings.Contains(words, "unknown anchor"):
		words = "an alias to an anchor that is not in the file; put a value that begins with * in quotes"
	case strings.ContainsAny(words, "'\"`%"):
		words = "look for a missing quote, colon or space"
	}
	return problemf(at, "this is not YAML: %s", words)
}

// parser turns nodes of the YAML library into values.
type parser struct {
	file  string
	count int
}

func (p *parser) value(n *yaml.Node, depth int) (*value, error) {
	at := Place{p.file, n.Line}
	p.count++
	if p.count > maxValues || depth > maxDepth {
		return nil, problemf(at, "the file is nested too deeply or has too many values: look for an alias (*) of what it is in")
	}
	switch n.Kind {
	case yaml.DocumentNode:
		return p.value(n.Content[0], depth+1)
	case yaml.AliasNode:
		return p.value(n.Alias, depth+1)
	case yaml.MappingNode:
		return p.mapping(n, depth)
	case yaml.SequenceNode:
		v := &value{at: at, list: []*value{}}
		for _, item := range n.Content {
			one, err := p.value(item, depth+1)
			if err != nil {
				return nil, err
			}
			v.list = append(v.list, one)
		}
		return v, nil
	case yaml.ScalarNode:
		return p.scalar(n)
	}
	return nil, problemf(at, "this is not YAML that can be read")
}

func (p *parser) scalar(n *yaml.Node) (*value, error) {
	plain := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
	if n.Style&yaml.TaggedStyle != 0 {
		if n.Tag != "!!str" {
			return nil, problemf(Place{p.file, n.Line}, "a tag is not expected here; put a value that begins with ! in quotes")
		}
		plain = false
	}
	return &value{at: Place{p.file, n.Line}, scalar: &scalar{
		text: n.Value, plain: plain, null: plain && n.Tag == "!!null",
	}}, nil
}

// mapping reads a mapping. What it merges in from elsewhere (<<) goes below
// what it says itself.
func (p *parser) mapping(n *yaml.Node, depth int) (*value, error) {
	v := &value{at: Place{p.file, n.Line}, mapping: map[string]*value{}}
	merged := map[string]*value{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, content := n.Content[i], n.Content[i+1]
		at := Place{p.file, key.Line}
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			return nil, problemf(at, "a key is not a single word: look for a missing quote or an extra colon")
		}
		one, err := p.value(content, depth+1)
		if err != nil {
			return nil, err
		}
		if key.Tag == "!!merge" {
			if err := merge(merged, one, at); err != nil {
				return nil, err
			}
			continue
		}
		if first, twice := v.mapping[key.Value]; twice {
			return nil, problemf(at, "a key is here twice, first in line %d: keep one", first.at.Line)
		}
		// The place of a value is that of its key: a block starts a line later.
		c := *one
		c.at = at
		v.mapping[key.Value] = &c
	}
	for key, one := range merged {
		if _, said := v.mapping[key]; !said {
			v.mapping[key] = one
		}
	}
	return v, nil
}

// merge adds what a mapping, or the first of several that has it, says.
func merge(into map[string]*value, from *value, at Place) error {
	sources := from.list
	if from.mapping != nil {
		sources = []*value{from}
	}
	if sources == nil {
		return problemf(at, "<< takes a mapping, or a list of mappings")
	}
	for _, s := range sources {
		if s.mapping == nil {
			return problemf(at, "<< takes a mapping, or a list of mappings")
		}
		for key, one := range s.mapping {
			if _, said := into[key]; !said {
				into[key] = one
			}
		}
	}
	return nil
}
