package store

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
)

// shape is what the JSON of a type may consist of: a struct has fields, and a
// list or a map elements. The nil shape is anything, all of which is known.
type shape struct {
	// fields are by their names in lower case; nil but for a struct.
	fields  map[string]*shape
	element *shape
}

func shapeOf[T any]() *shape { return newShape(reflect.TypeFor[T]()) }

func newShape(t reflect.Type) *shape {
	if t.Implements(reflect.TypeFor[json.Marshaler]()) {
		return nil
	}
	switch t.Kind() { //nolint:exhaustive // all else is a value without parts
	case reflect.Pointer:
		return newShape(t.Elem())
	case reflect.Slice, reflect.Array, reflect.Map:
		if element := newShape(t.Elem()); element != nil {
			return &shape{element: element}
		}
	case reflect.Struct:
		s := &shape{fields: map[string]*shape{}}
		s.add(t)
		return s
	}
	return nil
}

// add collects the fields of a struct, those of inlined structs too.
func (s *shape) add(t reflect.Type) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			s.add(f.Type)
		case name != "-":
			s.fields[strings.ToLower(name)] = newShape(f.Type)
		}
	}
}

// knows tells whether all fields of a valid JSON value are known. It may say no
// of one that is written in an unusual way.
func (s *shape) knows(text []byte) bool {
	_, known := s.value(text, 0)
	return known
}

// value passes the value that begins at i and returns where it ends.
func (s *shape) value(text []byte, i int) (end int, known bool) {
	i = skip(text, i, " \t\r\n")
	if i == len(text) {
		return i, true
	}
	switch text[i] {
	case '{', '[':
		return s.parts(text, i)
	case '"':
		return closing(text, i+1) + 1, true
	}
	for i < len(text) && !strings.ContainsRune(",]} \t\r\n", rune(text[i])) {
		i++
	}
	return i, true
}

// parts passes the object or list that begins at i.
func (s *shape) parts(text []byte, i int) (end int, known bool) {
	object := text[i] == '{'
	for i++; ; {
		i = skip(text, i, ", \t\r\n")
		if i == len(text) || text[i] == '}' || text[i] == ']' {
			return i + 1, true
		}
		part := s
		if s != nil {
			part = s.element
		}
		if object {
			begin := i + 1
			i = closing(text, begin)
			if part, known = s.part(text[begin:i]); !known {
				return i, false
			}
			i = skip(text, i+1, ": \t\r\n")
		}
		if i, known = part.value(text, i); !known {
			return i, false
		}
	}
}

// part is the shape of what an object has under a name.
func (s *shape) part(name []byte) (part *shape, known bool) {
	if s == nil {
		return nil, true
	}
	if s.fields == nil {
		return s.element, true
	}
	part, known = s.fields[string(name)]
	return part, known
}

// skip returns where text has something else than some letters.
func skip(text []byte, i int, letters string) int {
	for i < len(text) && strings.IndexByte(letters, text[i]) >= 0 {
		i++
	}
	return i
}

// closing is where a string ends that begins at i.
func closing(text []byte, i int) int {
	for ; i < len(text) && text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return min(i, len(text))
}

// graft returns the value after a change with what the stored value has and we
// do not know. Before is what we know of the stored value; where nothing changed
// the stored value stays as it is.
func graft(stored, before, after json.RawMessage) (json.RawMessage, error) {
	if bytes.Equal(before, after) {
		return stored, nil
	}
	kinds := [3]byte{first(stored), first(before), first(after)}
	switch kinds {
	case [3]byte{'{', '{', '{'}:
		return graftObject(stored, before, after)
	case [3]byte{'[', '[', '['}:
		return graftList(stored, before, after)
	}
	return after, nil
}

func first(value []byte) byte {
	if i := skip(value, 0, " \t\r\n"); i < len(value) {
		return value[i]
	}
	return 0
}

func graftObject(stored, before, after json.RawMessage) (json.RawMessage, error) {
	olds, err := membersOf(stored)
	if err != nil {
		return nil, err
	}
	knowns, err := membersOf(before)
	if err != nil {
		return nil, err
	}
	news, err := membersOf(after)
	if err != nil {
		return nil, err
	}
	for i, m := range news {
		old, known := olds.find(m.name), knowns.find(m.name)
		if old == nil || known == nil {
			continue
		}
		if news[i].value, err = graft(old, known, m.value); err != nil {
			return nil, err
		}
	}
	for _, m := range olds {
		// A name that we know in other letters would shadow the field.
		if knowns.find(m.name) == nil && news.find(m.name) == nil {
			news = append(news, m)
		}
	}
	return news.encode()
}

func graftList(stored, before, after json.RawMessage) (json.RawMessage, error) {
	var olds, knowns, news []json.RawMessage
	for text, list := range map[*json.RawMessage]*[]json.RawMessage{&stored: &olds, &before: &knowns, &after: &news} {
		if err := json.Unmarshal(*text, list); err != nil {
			return nil, err
		}
	}
	if len(olds) != len(knowns) {
		return after, nil
	}
	for i := range news {
		at := counterpart(knowns, news, i)
		if at < 0 {
			continue
		}
		var err error
		if news[i], err = graft(olds[at], knowns[at], news[i]); err != nil {
			return nil, err
		}
	}
	return json.Marshal(news)
}

// counterpart is where a list had an element before: one that is equal, best at
// the same place, or that has the same id.
func counterpart(before, after []json.RawMessage, i int) int {
	equal := func(known json.RawMessage) bool { return bytes.Equal(known, after[i]) }
	if i < len(before) && equal(before[i]) {
		return i
	}
	if at := slices.IndexFunc(before, equal); at >= 0 {
		return at
	}
	id := identity(after[i])
	if id == nil {
		return -1
	}
	return slices.IndexFunc(before, func(known json.RawMessage) bool { return bytes.Equal(identity(known), id) })
}

// identity is what an element of a list is told from others by, nil if there is
// nothing.
func identity(element json.RawMessage) json.RawMessage {
	if first(element) != '{' {
		return nil
	}
	members, err := membersOf(element)
	if err != nil {
		return nil
	}
	for _, name := range []string{"id", "node", "name"} {
		if id := members.find(name); id != nil {
			return id
		}
	}
	return nil
}

// member is a name of an object and its value.
type member struct {
	name  string
	value json.RawMessage
}

// members are those of an object, in order.
type members []member

func membersOf(object json.RawMessage) (members, error) {
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil { // the brace
		return nil, err
	}
	var all members
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		var m member
		m.name, _ = name.(string) // in an object it is one
		if err := d.Decode(&m.value); err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// find returns the value of a name, of one in other letters if there is none; of
// several the last, which is what counts.
func (all members) find(name string) json.RawMessage {
	var alike json.RawMessage
	for _, m := range slices.Backward(all) {
		if m.name == name {
			return m.value
		}
		if alike == nil && strings.EqualFold(m.name, name) {
			alike = m.value
		}
	}
	return alike
}

func (all members) encode() (json.RawMessage, error) {
	out := bytes.NewBufferString("{")
	for i, m := range all {
		if i > 0 {
			out.WriteByte(',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		out.Write(name)
		out.WriteByte(':')
		out.Write(m.value)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}
