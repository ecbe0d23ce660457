package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"gopkg.in/yaml.v3"
)

// mostDifferences is how many of them are told one by one.
const mostDifferences = 200

// Diff tells what an input has that another had not, one line for each
// difference, in the keys of the files:
//
//   - labels[noble]
//   - providers[north].pools[old]
//     ~ providers[north].rate: 1 -> 0.5
//
// It is for humans, about inputs that [Parse] takes. No secret is in it: what
// came out of the environment is called by the name of its variable, and values
// of the secure file, and of keys that may hold a secret, are left out.
func Diff(before, after Input) []string {
	d := &differ{}
	d.files("", before.Main, after.Main, before.Env)
	d.secret = true
	d.files("secure file: ", secureOf(before), secureOf(after), before.Env)
	if more := len(d.lines) - mostDifferences; more > 0 {
		d.lines = append(d.lines[:mostDifferences], fmt.Sprintf("and %d more", more))
	}
	return d.lines
}

func secureOf(in Input) Source {
	if in.Secure == nil {
		return Source{}
	}
	return *in.Secure
}

// differ collects the lines of a Diff.
type differ struct {
	lines []string
	// secret says that no value is shown.
	secret bool
}

func (d *differ) tell(sign, path, what string) {
	if what != "" {
		what = ": " + what
	}
	d.lines = append(d.lines, sign+" "+path+what)
}

// files compares a file with what it was.
func (d *differ) files(where string, before, after Source, env func(string) (string, bool)) {
	a, errA := plainValue(before, env)
	b, errB := plainValue(after, env)
	if errA != nil || errB != nil {
		// Parse is more patient than this.
		if string(before.Data) != string(after.Data) {
			d.tell("~", where+"the file", "changed")
		}
		return
	}
	d.values(where, "", a, b)
}

// plainValue is what a file says, with the names of variables in the place of
// their values.
func plainValue(s Source, env func(string) (string, bool)) (any, error) {
	names := func(name string) (string, bool) {
		if env == nil {
			return "", false
		}
		_, known := env(name)
		return "$" + name, known
	}
	var v any
	err := yaml.Unmarshal(expand(s, 0, names, newReport()).after, &v)
	return v, err //nolint:wrapcheck // nobody sees it
}

// values compares two values of a path.
func (d *differ) values(where, path string, a, b any) {
	if reflect.DeepEqual(a, b) {
		return
	}
	was, mapping := mappingOf(a)
	is, mappingToo := mappingOf(b)
	if mapping && mappingToo {
		d.mappings(where, path, was, is)
		return
	}
	before, list := namedItems(a)
	after, listToo := namedItems(b)
	if list && listToo {
		d.lists(where, path, before, after)
		return
	}
	d.tell("~", where+path, d.shown(a)+" -> "+d.shown(b))
}

// mappings compares the keys of two mappings.
func (d *differ) mappings(where, path string, a, b map[string]any) {
	secret := d.secret
	for _, key := range unionOf(a, b) {
		d.secret = secret || mayBeSecret(key)
		inner := key
		if path != "" {
			inner = path + "." + key
		}
		was, had := a[key]
		is, has := b[key]
		switch {
		case had && has:
			d.values(where, inner, was, is)
		case has && simple(is):
			d.tell("+", where+inner, d.shown(is))
		case simple(was) && had:
			d.tell("-", where+inner, "was "+d.shown(was))
		default:
			d.whole(where, inner, was, is)
		}
	}
	d.secret = secret
}

// whole tells of the items of a list that came or went as a whole, or of a
// mapping.
func (d *differ) whole(where, path string, was, is any) {
	before, listed := namedItems(was)
	after, listedToo := namedItems(is)
	switch {
	case listed || listedToo:
		d.lists(where, path, before, after)
	case is != nil:
		d.tell("+", where+path, "")
	default:
		d.tell("-", where+path, "")
	}
}

// lists compares lists of things that have names.
func (d *differ) lists(where, path string, a, b named) {
	for _, name := range a.order {
		if _, has := b.items[name]; !has {
			d.tell("-", where+path+"["+name+"]", "")
		}
	}
	for _, name := range b.order {
		if was, had := a.items[name]; had {
			d.values(where, path+"["+name+"]", was, b.items[name])
		} else {
			d.tell("+", where+path+"["+name+"]", "")
		}
	}
	common := func(list, other named) []string {
		return slices.DeleteFunc(slices.Clone(list.order), func(name string) bool { return other.items[name] == nil })
	}
	if !slices.Equal(common(a, b), common(b, a)) {
		d.tell("~", where+path, "in another order")
	}
}

// named is a list of mappings that all have names.
type named struct {
	order []string
	items map[string]any
}

// namedItems is what a list holds, if all of it has names of its own. Nothing
// holds nothing.
func namedItems(v any) (named, bool) {
	n := named{items: map[string]any{}}
	list, ok := v.([]any)
	if !ok {
		return n, false
	}
	for _, it := range list {
		m, _ := mappingOf(it)
		name, ok := m["name"].(string)
		if !ok {
			name, ok = m["tenant-name"].(string)
		}
		if _, twice := n.items[name]; !ok || twice {
			return n, false
		}
		n.order = append(n.order, name)
		n.items[name] = it
	}
	return n, true
}

// mappingOf is a mapping with its keys as texts.
func mappingOf(v any) (map[string]any, bool) {
	switch m := v.(type) {
	case map[string]any:
		return m, true
	case map[any]any:
		texts := make(map[string]any, len(m))
		for key, value := range m {
			texts[fmt.Sprint(key)] = value
		}
		return texts, true
	}
	return nil, v == nil
}

func unionOf(a, b map[string]any) []string {
	all := maps.Clone(b)
	if all == nil {
		all = map[string]any{}
	}
	maps.Copy(all, a)
	return slices.Sorted(maps.Keys(all))
}

// mayBeSecret tells whether what a key holds is shown to nobody.
func mayBeSecret(key string) bool {
	return slices.Contains([]string{"password", "env-vars", "userdata"}, key)
}

// simple tells whether a value fits on the line.
func simple(v any) bool {
	if _, mapping := mappingOf(v); mapping {
		return false
	}
	list, _ := v.([]any)
	return !slices.ContainsFunc(list, func(it any) bool { return !simple(it) })
}

func (d *differ) shown(v any) string {
	if d.secret {
		return "(not shown)"
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}
