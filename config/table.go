package config

import (
	"regexp"
	"slices"
)

// value is a value of a file with its position, or a default.
type value[V any] struct {
	v V
	// set tells a value that was written from a default.
	set bool
	at  mark
}

// given reports whether there was a value, though perhaps a wrong one.
func (v value[V]) given() bool {
	return v.at.src != nil
}

// preset is a default.
func preset[V any](v V) value[V] {
	return value[V]{v: v}
}

// place is the position of a list item or mapping; the structs that tables
// fill embed it.
type place struct {
	at mark
}

func (p *place) put(at mark) { p.at = at }

// keyDoc is what the documentation says of a key.
type keyDoc struct {
	name, kind, text string
	required         bool
	status           status
	// shape is what the schema says of the value, unless sub does.
	shape shape
	// sub is the table of the mapping, or of the mappings in the list.
	sub *section
	// always marks a key that is read though the mapping is set aside.
	always bool
}

// status says what becomes of a key.
type status int

const (
	// meant is a key that does something.
	meant status = iota
	// ignored is a key of nodepool's without a meaning here.
	ignored
	// refused is a key of an old syntax.
	refused
)

// section is what the documentation says of a table.
type section struct {
	title, about string
	keys         []keyDoc
	// defaults are the defaults of keys, in the same order.
	defaults []string
	// other is the section of mappings of another kind, nil if there are none.
	other *section
	// aside tells that some mappings belong to somebody else.
	aside bool
	// foreign are the keys that mean something to another driver.
	foreign *regexp.Regexp
}

// field is a key that fills a part of a T.
type field[T any] struct {
	keyDoc
	read func(w *walker, key mark, it item, into *T)
	// show returns the default, given a fresh T.
	show func(fresh *T) string
}

// needed makes a key required.
func (f field[T]) needed() field[T] {
	f.required = true
	return f
}

// even reads a key of a mapping that is set aside, too.
func (f field[T]) even() field[T] {
	f.always = true
	return f
}

// table is the known keys of a mapping.
type table[T any] struct {
	title, about string
	// fresh returns a T with every default.
	fresh  func() T
	fields []field[T]
	// aside reports whether a mapping belongs to somebody else: only the keys
	// marked so are read then. Nil means never.
	aside func(pairs []pair) bool
	// other is the table of mappings that are of another kind, by what they
	// hold. Nil means none.
	other *variant[T]
	// foreign are unknown keys that mean something to another driver, so that
	// they are noted and not refused. Nil means none.
	foreign *regexp.Regexp
}

// variant is the table of those mappings that are of another kind.
type variant[T any] struct {
	table[T]

	is func(pairs []pair) bool
}

// section returns the documentation of a table.
func (t *table[T]) section() *section {
	s := &section{title: t.title, about: t.about, aside: t.aside != nil, foreign: t.foreign}
	if t.other != nil {
		s.other = t.other.section()
	}
	fresh := t.fresh()
	for _, f := range t.fields {
		s.keys = append(s.keys, f.keyDoc)
		text := ""
		if f.show != nil {
			text = f.show(&fresh)
		}
		s.defaults = append(s.defaults, text)
	}
	return s
}

// of is the table of a mapping of whichever kind.
func (t *table[T]) of(pairs []pair) *table[T] {
	if t.other != nil && t.other.is(pairs) {
		return &t.other.table
	}
	return t
}

// decode fills a T with the keys of a mapping.
func (t *table[T]) decode(w *walker, it item, into *T) {
	pairs, ok := w.pairs(it)
	if !ok {
		return
	}
	t = t.of(pairs)
	fields := t.fields
	if t.aside != nil && t.aside(pairs) {
		fields, pairs = setAside(fields, pairs)
	}
	seen := map[string]bool{}
	for _, p := range pairs {
		i := slices.IndexFunc(fields, func(f field[T]) bool { return f.name == p.key })
		switch {
		case i < 0:
			t.unknown(w, p)
		case isNull(p.value.node) && fields[i].status == meant:
			// Nothing is as good as no key.
		default:
			seen[p.key] = true
			p.keyMark.path = p.value.path
			fields[i].read(w, p.keyMark, p.value, into)
		}
	}
	for _, f := range fields {
		if f.required && !seen[f.name] {
			w.errorf(it.mark, "the key %q is required", f.name)
		}
	}
}

// unknown reports a key that is not in the table.
func (t *table[T]) unknown(w *walker, p pair) {
	if t.foreign != nil && t.foreign.MatchString(p.key) {
		w.notef(p.keyMark, "the key %s has no effect: it is about a cloud that poold has no driver for", p.keyShown)
		return
	}
	shown := p.keyShown
	if w.src.secure {
		// A slip of the indentation makes a key of a password.
		shown = hidden
	}
	w.hint(p.keyMark, didYouMean(p.key, t.names()), "unknown key %s", shown)
}

// setAside returns what is read of a mapping that belongs to somebody else.
func setAside[T any](fields []field[T], pairs []pair) ([]field[T], []pair) {
	fields = slices.DeleteFunc(slices.Clone(fields), func(f field[T]) bool { return !f.always })
	pairs = slices.DeleteFunc(pairs, func(p pair) bool {
		return !slices.ContainsFunc(fields, func(f field[T]) bool { return f.name == p.key })
	})
	return fields, pairs
}

// names returns the keys that do something.
func (t *table[T]) names() []string {
	var all []string
	for _, f := range t.fields {
		if f.status == meant {
			all = append(all, f.name)
		}
	}
	return all
}

// silent leaves the default out of the documentation, where the zero value is
// not one.
func (f field[T]) silent() field[T] {
	f.show = nil
	return f
}
