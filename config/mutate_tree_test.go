package config

import (
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// site is a key of an example, with what its table says of it.
type site struct {
	// path leads to the mapping, as indexes of children.
	path []int
	// index is that of the key among the children of the mapping.
	index int
	doc   keyDoc
	table string
	// mapping, key and value are the nodes of the example; they are not to be
	// changed.
	mapping, key, value *yaml.Node
	// flow tells that the key is inside brackets.
	flow bool
}

// mistake is what an edit of a tree has made wrong.
type mistake struct {
	at        *yaml.Node
	want, key string
}

// treeEdit makes one mistake at a site of a tree, or returns nil if the site
// is not fit for it.
type treeEdit func(tree *yaml.Node, s site) *mistake

// sitesOf returns the keys of a mapping and of all that is in it. What an alias
// stands for is there where its anchor is; what belongs to other drivers is
// left out.
func sitesOf(n *yaml.Node, s *section, path []int) []site {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	if s.other != nil {
		switch driverIn(n) {
		case "static":
			s = s.other
		case "openstack":
		default:
			return nil
		}
	}
	var all []site
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		k := slices.IndexFunc(s.keys, func(k keyDoc) bool { return k.name == key.Value && k.status == meant })
		if k < 0 || value.ShortTag() == "!!null" {
			continue
		}
		one := site{path: path, index: i, doc: s.keys[k], table: s.title, mapping: n, key: key, value: value}
		one.flow = n.Style&yaml.FlowStyle != 0
		all = append(all, one)
		sub, below := s.keys[k].sub, slices.Concat(path, []int{i + 1})
		switch {
		case sub == nil:
		case value.Kind == yaml.SequenceNode:
			for j, c := range value.Content {
				all = append(all, sitesOf(c, sub, slices.Concat(below, []int{j}))...)
			}
		default:
			all = append(all, sitesOf(value, sub, below)...)
		}
	}
	return all
}

func driverIn(n *yaml.Node) string {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "driver" {
			return n.Content[i+1].Value
		}
	}
	return "openstack"
}

func parseTree(t *testing.T, text []byte) *yaml.Node {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return &doc
}

// follow returns the node at the end of a path.
func follow(n *yaml.Node, path []int) *yaml.Node {
	for _, i := range path {
		n = n.Content[i]
	}
	return n
}

// pathTo returns the path to a node.
func pathTo(from, to *yaml.Node) ([]int, bool) {
	if from == to {
		return nil, true
	}
	for i, c := range from.Content {
		if rest, ok := pathTo(c, to); ok {
			return append([]int{i}, rest...), true
		}
	}
	return nil, false
}

// anchored reports whether others may refer to a node or to what is in it.
func anchored(n *yaml.Node) bool {
	return n.Anchor != "" || slices.ContainsFunc(n.Content, anchored)
}

// typo is a word with two letters in the wrong order, or one too many.
func typo(word string) string {
	if len(word) < 3 || word[1] == word[2] {
		return word + word[len(word)-1:]
	}
	return word[:1] + word[2:3] + word[1:2] + word[3:]
}

func plainNode(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Value: text}
}

func treeEdits() map[string]treeEdit {
	return map[string]treeEdit{
		"typo in a key": func(tree *yaml.Node, s site) *mistake {
			key := follow(tree, s.path).Content[s.index]
			key.Value = typo(key.Value)
			return &mistake{at: key, want: "did you mean \"" + s.doc.name + "\"?", key: key.Value}
		},
		"key of elsewhere": func(tree *yaml.Node, s site) *mistake {
			m := follow(tree, s.path)
			key := plainNode("no-such-key-anywhere")
			m.Content = append(m.Content, key, plainNode("1"))
			return &mistake{at: key, want: "unknown key", key: key.Value}
		},
		"key twice": func(tree *yaml.Node, s site) *mistake {
			m := follow(tree, s.path)
			key := plainNode(s.doc.name)
			m.Content = append(m.Content, key, plainNode("1"))
			return &mistake{at: key, want: "is here twice, first in line", key: s.doc.name}
		},
		"required key missing": removeRequired,
		"wrong type":           wrongType,
		"item of wrong type":   wrongItem,
		"empty item":           emptyItem,
		"out of bounds": func(tree *yaml.Node, s site) *mistake {
			if s.doc.kind != "integer" && s.doc.kind != "seconds" || anchored(s.value) {
				return nil
			}
			n := plainNode("99999999999999999999999")
			follow(tree, s.path).Content[s.index+1] = n
			return &mistake{at: n, want: "must be at most", key: s.doc.name}
		},
		"not one of a few": func(tree *yaml.Node, s site) *mistake {
			if !strings.HasPrefix(s.doc.kind, "one of") || s.value.Kind != yaml.ScalarNode || anchored(s.value) {
				return nil
			}
			n := follow(tree, s.path).Content[s.index+1]
			n.Value = typo(n.Value)
			return &mistake{at: n, want: "did you mean \"" + s.value.Value + "\"?", key: s.doc.name}
		},
		"missing reference":   missingReference,
		"name twice":          nameTwice,
		"parent of itself":    parentOfItself,
		"parents in a circle": parentsInACircle,
		"no flavor": func(tree *yaml.Node, s site) *mistake {
			m := follow(tree, s.path)
			if s.doc.name != "flavor-name" || anchored(s.value) || hasKey(m, "min-ram") || hasKey(m, "<<") {
				return nil
			}
			m.Content = slices.Delete(m.Content, s.index, s.index+2)
			return &mistake{at: m, want: "the label needs a flavor-name or a min-ram"}
		},
		"merged into itself": func(tree *yaml.Node, s site) *mistake {
			m := follow(tree, s.path)
			if m.Anchor != "" || hasKey(m, "<<") || len(s.path) == 1 {
				return nil
			}
			m.Anchor = "itself"
			alias := &yaml.Node{Kind: yaml.AliasNode, Value: m.Anchor, Alias: m}
			m.Content = append(m.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!merge", Value: "<<"}, alias)
			return &mistake{at: m, want: "merged into itself"}
		},
		"list in itself": func(tree *yaml.Node, s site) *mistake {
			n := follow(tree, s.path).Content[s.index+1]
			if n.Kind != yaml.SequenceNode || n.Anchor != "" {
				return nil
			}
			n.Anchor = "itself"
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.AliasNode, Value: n.Anchor, Alias: n})
			return &mistake{at: n, want: "found a list", key: s.doc.name}
		},
	}
}

func hasKey(m *yaml.Node, key string) bool {
	for i := 0; i < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return true
		}
	}
	return false
}

func removeRequired(tree *yaml.Node, s site) *mistake {
	m := follow(tree, s.path)
	if !s.doc.required || anchored(s.value) || hasKey(m, "<<") || len(m.Content) < 4 {
		return nil
	}
	m.Content = slices.Delete(m.Content, s.index, s.index+2)
	return &mistake{at: m, want: "is required", key: s.doc.name}
}

// wrongType gives a key a value that its kind cannot take.
func wrongType(tree *yaml.Node, s site) *mistake {
	if anchored(s.value) || s.doc.name == "driver" {
		return nil
	}
	n := plainNode("many")
	switch kind := s.doc.kind; {
	case strings.HasPrefix(kind, "string") || strings.HasPrefix(kind, "one of") || strings.HasPrefix(kind, "time"):
		n = &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{plainNode("a"), plainNode("b")}}
	case strings.HasPrefix(kind, "list") || strings.HasPrefix(kind, "mapping"):
		n = plainNode("17")
	}
	follow(tree, s.path).Content[s.index+1] = n
	return &mistake{at: n, want: "expected ", key: s.doc.name}
}

func wrongItem(tree *yaml.Node, s site) *mistake {
	n := follow(tree, s.path).Content[s.index+1]
	if n.Kind != yaml.SequenceNode {
		return nil
	}
	n.Content = append(n.Content, plainNode("17"))
	return &mistake{at: n.Content[len(n.Content)-1], want: "found an integer", key: s.doc.name + "["}
}

func emptyItem(tree *yaml.Node, s site) *mistake {
	n := follow(tree, s.path).Content[s.index+1]
	if n.Kind != yaml.SequenceNode {
		return nil
	}
	n.Content = append(n.Content, plainNode("null"))
	return &mistake{at: n.Content[len(n.Content)-1], want: "the list item is empty", key: s.doc.name + "["}
}

// missingReference makes a name refer to nothing.
func missingReference(tree *yaml.Node, s site) *mistake {
	what := map[string]string{
		"providers[].pools[].labels[] name":        "label",
		"providers[].pools[].labels[] diskimage":   "diskimage",
		"providers[].pools[].labels[] cloud-image": "cloud image",
		"providers[].diskimages[] name":            "diskimage",
		"diskimages[] parent":                      "diskimage",
		"diskimages[].snapshot-of provider":        "provider",
	}[s.table+" "+s.doc.name]
	if what == "" || s.value.Kind != yaml.ScalarNode {
		return nil
	}
	n := follow(tree, s.path).Content[s.index+1]
	n.Value += "x"
	return &mistake{at: n, want: "there is no " + what + " \"" + n.Value + "\" (did you mean \"" + s.value.Value + "\"?)", key: s.doc.name}
}

// nameTwice gives a list an item a second time.
func nameTwice(tree *yaml.Node, s site) *mistake {
	n := follow(tree, s.path).Content[s.index+1]
	named := s.doc.sub != nil && slices.ContainsFunc(s.doc.sub.keys, func(k keyDoc) bool { return k.name == "name" && k.required })
	if !named || n.Kind != yaml.SequenceNode || len(n.Content) == 0 || n.Content[0].Kind != yaml.MappingNode || !hasKey(n.Content[0], "name") {
		return nil
	}
	if drivers := driverIn(n.Content[0]); drivers != "openstack" && drivers != "static" {
		return nil
	}
	again := copied(n.Content[0])
	n.Content = append(n.Content, again)
	at := again
	for i := 0; i < len(again.Content); i += 2 {
		if again.Content[i].Value == "name" && s.doc.name != "nodes" {
			at = again.Content[i+1]
		}
	}
	return &mistake{at: at, want: "is here twice", key: s.doc.name + "["}
}

// cloned is a copy of a tree with aliases of its own.
func cloned(tree *yaml.Node) *yaml.Node {
	clones := map[*yaml.Node]*yaml.Node{}
	var clone func(n *yaml.Node) *yaml.Node
	clone = func(n *yaml.Node) *yaml.Node {
		c := *n
		clones[n] = &c
		c.Content = nil
		for _, in := range n.Content {
			c.Content = append(c.Content, clone(in))
		}
		// An alias comes after its anchor.
		c.Alias = clones[n.Alias]
		return &c
	}
	return clone(tree)
}

// copied is a copy of a node without its anchors.
func copied(n *yaml.Node) *yaml.Node {
	again := *n
	again.Anchor, again.Content = "", nil
	for _, c := range n.Content {
		again.Content = append(again.Content, copied(c))
	}
	return &again
}

func parentOfItself(tree *yaml.Node, s site) *mistake {
	m := follow(tree, s.path)
	if s.table != "diskimages[]" || s.doc.name != "name" || hasKey(m, "parent") {
		return nil
	}
	parent := plainNode(s.value.Value)
	m.Content = append(m.Content, plainNode("parent"), parent)
	return &mistake{at: parent, want: "lead back to it", key: "parent"}
}

// parentsInACircle makes the parent of an image its child.
func parentsInACircle(tree *yaml.Node, s site) *mistake {
	if s.table != "diskimages[]" || s.doc.name != "parent" {
		return nil
	}
	child := follow(tree, s.path)
	list := follow(tree, s.path[:len(s.path)-1])
	for _, m := range list.Content {
		if nameOf(m) == s.value.Value && !hasKey(m, "parent") {
			parent := plainNode(nameOf(child))
			m.Content = append(m.Content, plainNode("parent"), parent)
			return &mistake{at: parent, want: "lead back to it", key: "parent"}
		}
	}
	return nil
}

func nameOf(m *yaml.Node) string {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == "name" {
			return m.Content[i+1].Value
		}
	}
	return ""
}
