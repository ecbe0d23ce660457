package config

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Finding is something that was found about a configuration by asking others,
// such as the clouds.
type Finding struct {
	// Paths lead to it: keys, and after the key of a list what its item is called,
	// as in "providers", "north", "pools", "main", "networks", "inside". The first
	// that leads all the way is meant, or else as far as the first one leads.
	Paths [][]string
	// Problem says what is wrong; {name} in it stands for Name, in quotes.
	Problem string
	// Name is a name that is wrong, Known are those that would be right.
	Name  string
	Known []string
	// Note tells what is no mistake.
	Note bool
}

// mostKnown is how many right names are listed if none is like the wrong one.
const mostKnown = 8

// Place says where in a configuration, which Parse took, findings are. They come
// as those of Parse do.
func Place(in Input, findings []Finding) ([]Note, error) {
	env := in.Env
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	unread := newReport() // Parse has told it
	src := expand(in.Main, 0, env, unread)
	top, ok := root(src, unread)
	r := newReport()
	for _, f := range findings {
		at := src.start()
		if ok && top != nil {
			w := newWalker(src, unread, top)
			at = w.place(top, f.Paths)
		}
		text := strings.ReplaceAll(f.Problem, "{name}", at.quote(f.Name))
		if f.Note {
			r.notef(at, "%s", text)
			continue
		}
		r.hint(at, f.hint(), "%s", text)
	}
	return r.sortedNotes(), r.err()
}

func (f *Finding) hint() string {
	if guess := didYouMean(f.Name, f.Known); guess != "" || len(f.Known) == 0 || len(f.Known) > mostKnown {
		return guess
	}
	return "there is " + strings.Join(slices.Sorted(slices.Values(f.Known)), ", ")
}

// place is where the first path leads that leads all the way.
func (w *walker) place(top *yaml.Node, paths [][]string) mark {
	first := w.src.start()
	for i, path := range paths {
		it, _ := w.visit(top, "")
		at, all := w.follow(it, path)
		if all {
			return at
		}
		if i == 0 {
			first = at
		}
	}
	return first
}

// follow follows a path as far as it leads, and tells whether that is all the
// way.
func (w *walker) follow(it item, path []string) (mark, bool) {
	for _, step := range path {
		next, ok := w.below(it, step)
		if !ok {
			return it.mark, false
		}
		it = next
	}
	return it.mark, true
}

// below is what a mapping has under a key, or the item of a list that is called
// so or is just that text.
func (w *walker) below(it item, step string) (item, bool) {
	if it.node.Kind == yaml.MappingNode {
		for _, p := range w.flatten(it, nil) {
			if p.key == step {
				return p.value, true
			}
		}
	}
	if it.node.Kind != yaml.SequenceNode {
		return item{}, false
	}
	for _, one := range w.items(it) {
		name := one
		if one.node.Kind == yaml.MappingNode {
			name, _ = w.below(one, "name")
		}
		if name.node != nil && name.node.Kind == yaml.ScalarNode && name.node.Value == step {
			return one, true
		}
	}
	return item{}, false
}
