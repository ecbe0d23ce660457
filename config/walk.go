package config

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxExpansion is how many values the aliases of a file may add to those that
// it holds. Real files stay far below; a few lines of nested aliases would
// otherwise be worth gigabytes.
const maxExpansion = 250_000

// item is a value and where it is. Its node is never an alias: what an alias
// stands for keeps the position of its anchor.
type item struct {
	node *yaml.Node
	mark
}

// pair is a key of a mapping and its value.
type pair struct {
	key      string
	keyMark  mark
	value    item
	keyShown string
}

// walker walks the nodes of one file.
type walker struct {
	src *source
	*report
	// left is how many values may still be visited.
	left int
}

func newWalker(src *source, r *report, top *yaml.Node) *walker {
	return &walker{src: src, report: r, left: maxExpansion + count(top)}
}

// count returns how many nodes there are without following aliases.
func count(n *yaml.Node) int {
	all := 1
	for _, c := range n.Content {
		all += count(c)
	}
	return all
}

// visit makes an item of a node, and returns false when the aliases of the
// file expand to too much.
func (w *walker) visit(n *yaml.Node, path string) (item, bool) {
	w.left--
	if w.left == 0 {
		at := mark{src: w.src, line: n.Line, col: n.Column, path: path}
		w.errorf(at, "the aliases of this file expand to more than %d values", maxExpansion)
	}
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	it := item{node: n, mark: mark{src: w.src, line: n.Line, col: n.Column, path: path}}
	return it, w.left > 0
}

// wrong reports a value of the wrong type.
func (w *walker) wrong(it item, want string) {
	hint := ""
	tag := it.node.ShortTag()
	switch {
	case isPlaceholder(it.node):
		hint = "this looks like a template; " + renderFirst
	case isNull(it.node):
		hint = "write '' for an empty one"
	case want == aString && it.node.Kind == yaml.ScalarNode && !strings.HasPrefix(it.node.Tag, "!!str"):
		hint = "put it in quotes"
	case it.node.Kind == yaml.ScalarNode && tag == "!!str" && quoted(it.node) && looksLike(want, it.node.Value):
		hint = "remove the quotes"
	}
	w.hint(it.mark, hint, "expected %s, found %s", want, found(it.node))
}

// What is expected, in words.
const (
	aString   = "a string"
	aBoolean  = "true or false"
	anInteger = "an integer"
	aNumber   = "a number"
	aMapping  = "a mapping"
	aList     = "a list"
)

// looksLike reports whether a quoted text would be right without its quotes.
func looksLike(want, text string) bool {
	bare := &yaml.Node{Kind: yaml.ScalarNode, Value: text}
	switch want {
	case anInteger:
		return bare.ShortTag() == "!!int"
	case aNumber:
		return bare.ShortTag() == "!!int" || bare.ShortTag() == "!!float"
	case aBoolean:
		return bare.ShortTag() == "!!bool"
	}
	return false
}

func quoted(n *yaml.Node) bool {
	return n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0
}

// isPlaceholder reports whether a node is what YAML makes of {{ NAME }}.
func isPlaceholder(n *yaml.Node) bool {
	return n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle != 0 &&
		len(n.Content) == 2 && n.Content[0].Kind == yaml.MappingNode
}

// found says what a node is.
func found(n *yaml.Node) string {
	if n.Kind == yaml.MappingNode {
		return aMapping
	}
	if n.Kind == yaml.SequenceNode {
		return aList
	}
	switch n.ShortTag() {
	case "!!str":
		return aString
	case "!!int":
		return anInteger
	case "!!float":
		return aNumber
	case "!!bool":
		return "a boolean"
	case "!!null":
		return "nothing"
	case "!!timestamp":
		return "a date"
	}
	return "a value with a tag of its own"
}

// items returns the values of a list.
func (w *walker) items(it item) []item {
	if it.node.Kind != yaml.SequenceNode {
		w.wrong(it, aList)
		return nil
	}
	var all []item
	for i, n := range it.node.Content {
		next, ok := w.visit(n, fmt.Sprintf("%s[%d]", it.path, i))
		if !ok {
			return all
		}
		if isNull(next.node) {
			w.errorf(next.mark, "the list item is empty")
			continue
		}
		all = append(all, next)
	}
	return all
}

// pairs returns the keys and values of a mapping, its own first, then those
// that are merged in. Where a key comes from several places, its own value
// wins, then that of the first merged mapping.
func (w *walker) pairs(it item) ([]pair, bool) {
	if it.node.Kind != yaml.MappingNode || isPlaceholder(it.node) {
		w.wrong(it, aMapping)
		return nil, false
	}
	return w.flatten(it, nil), true
}

// flatten is pairs for a mapping; outer are the mappings that it is being
// merged into.
func (w *walker) flatten(it item, outer []*yaml.Node) []pair {
	own, merges := w.own(it)
	all := own
	outer = append(outer, it.node)
	for _, m := range merges {
		for _, from := range w.merged(m) {
			if slices.Contains(outer, from.node) {
				w.errorf(from.mark, "the mapping is merged into itself")
				continue
			}
			if from.node.Kind != yaml.MappingNode {
				w.wrong(from, "a mapping to merge")
				continue
			}
			all = override(w.flatten(from, outer), all)
		}
	}
	return all
}

// override adds the pairs of base to all whose keys all does not have.
func override(base, all []pair) []pair {
	have := make(map[string]bool, len(all))
	for _, p := range all {
		have[p.key] = true
	}
	for _, p := range base {
		if !have[p.key] {
			all = append(all, p)
		}
	}
	return all
}

// own returns what is written in a mapping itself: its pairs, and the values
// of its merge keys.
func (w *walker) own(it item) (pairs []pair, merges []item) {
	first := map[string]pair{}
	for i := 0; i+1 < len(it.node.Content); i += 2 {
		key, ok := w.visit(it.node.Content[i], it.path)
		if !ok {
			return pairs, merges
		}
		if key.node.Kind != yaml.ScalarNode {
			w.errorf(key.mark, "a key must be a string")
			continue
		}
		name := key.node.Value
		shown := key.quote(name)
		path := shortened(name)
		if shown == hidden {
			path = hidden
		}
		if it.path != "" {
			path = it.path + "." + path
		}
		value, ok := w.visit(it.node.Content[i+1], path)
		if !ok {
			return pairs, merges
		}
		p := pair{key: name, keyMark: key.mark, value: value, keyShown: shown}
		if before, twice := first[name]; twice {
			if !w.replaces(p, before) {
				continue
			}
			pairs = slices.DeleteFunc(pairs, func(p pair) bool { return p.key == name })
		}
		first[name] = p
		if key.node.ShortTag() == "!!merge" {
			value.path = it.path
			merges = append(merges, value)
			continue
		}
		pairs = append(pairs, p)
	}
	return pairs, merges
}

// replaces reports whether a key that was there before may be given again: only
// if it had no value before, which a real file of a large site does.
func (w *walker) replaces(p, before pair) bool {
	line, _ := w.src.original(before.keyMark.line, before.keyMark.col)
	if !isNull(before.value.node) {
		w.errorf(p.keyMark, "the key %s is here twice, first in line %d", p.keyShown, line)
		return false
	}
	w.notef(p.keyMark, "the key %s is here twice; the one in line %d has no value and is passed over", p.keyShown, line)
	return true
}

// merged returns the mappings of a merge key: one, or a list of them.
func (w *walker) merged(it item) []item {
	if it.node.Kind != yaml.SequenceNode {
		return []item{it}
	}
	var all []item
	for _, n := range it.node.Content {
		next, ok := w.visit(n, it.path)
		if !ok {
			break
		}
		all = append(all, next)
	}
	return all
}
