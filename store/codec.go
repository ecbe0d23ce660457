package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"poold/pool"
	"poold/store/kv"
)

// errNewer says that a record was written by a later version of poold and must
// be left alone.
var errNewer = errors.New("written by a newer version")

// errMisplaced says that a record is not at the key that its fields name.
var errMisplaced = errors.New("at the key of another record")

// kind is how one kind of record is stored.
type kind[T any] struct {
	name string
	// key is where a record belongs.
	key func(keys, *T) string
	// meta returns the parts that every kind has.
	meta func(*T) (record *pool.Record, version *int)
	// fill sets the fields that are only in the key; nil if there are none.
	fill func(*T, place, kv.Item)
	// immutable says that whoever wrote a record never changes it afterwards,
	// so that it can be shown to others as it is.
	immutable bool
	// known are the JSON names of the fields, in lower case.
	known map[string]bool
}

// codec is every kind.
type codec struct {
	nodes       kind[pool.Node]
	requests    kind[pool.Request]
	allocations kind[pool.Allocation]
	builds      kind[pool.Build]
	uploads     kind[pool.Upload]
	commands    kind[pool.Command]
	quotas      kind[pool.Quota]
	healths     kind[pool.Health]
	members     kind[pool.Member]
	penalties   kind[pool.Penalty]
	freezes     kind[pool.Freeze]
	pauses      kind[pool.Pause]
	drains      kind[pool.Drain]
	offers      kind[pool.Offer]
}

func newCodec() codec {
	c := codec{
		nodes: kind[pool.Node]{
			name: "node", known: fieldsOf[pool.Node](), immutable: true,
			key:  func(k keys, n *pool.Node) string { return k.node(n.Provider, n.ID) },
			meta: func(n *pool.Node) (*pool.Record, *int) { return &n.Record, &n.V },
		},
		requests: kind[pool.Request]{
			name: "request", known: fieldsOf[pool.Request](),
			key:  func(k keys, r *pool.Request) string { return k.request(r.Client, r.ID) },
			meta: func(r *pool.Request) (*pool.Record, *int) { return &r.Record, &r.V },
			fill: func(r *pool.Request, p place, it kv.Item) {
				r.Client, r.ID, r.Leased, r.CreateRevision = p.a, p.b, it.Lease != 0, it.CreateRevision
			},
		},
		allocations: kind[pool.Allocation]{
			name: "allocation", known: fieldsOf[pool.Allocation](), immutable: true,
			key:  func(k keys, a *pool.Allocation) string { return k.allocation(a.Client, a.ID) },
			meta: func(a *pool.Allocation) (*pool.Record, *int) { return &a.Record, &a.V },
			fill: func(a *pool.Allocation, p place, _ kv.Item) { a.Client, a.ID = p.a, p.b },
		},
		builds: kind[pool.Build]{
			name: "build", known: fieldsOf[pool.Build](),
			key:  func(k keys, b *pool.Build) string { return k.build(b.Image, b.ID) },
			meta: func(b *pool.Build) (*pool.Record, *int) { return &b.Record, &b.V },
		},
		uploads: kind[pool.Upload]{
			name: "upload", known: fieldsOf[pool.Upload](),
			key:  func(k keys, u *pool.Upload) string { return k.upload(u.Image, u.Build, u.Provider) },
			meta: func(u *pool.Upload) (*pool.Record, *int) { return &u.Record, &u.V },
		},
		commands: kind[pool.Command]{
			name: "command", known: fieldsOf[pool.Command](),
			key:  func(k keys, c *pool.Command) string { return k.command(c.ID) },
			meta: func(c *pool.Command) (*pool.Record, *int) { return &c.Record, &c.V },
			fill: func(c *pool.Command, p place, _ kv.Item) { c.ID = p.a },
		},
		quotas: kind[pool.Quota]{
			name: "quota", known: fieldsOf[pool.Quota](),
			key:  func(k keys, q *pool.Quota) string { return k.quota(q.Provider) },
			meta: func(q *pool.Quota) (*pool.Record, *int) { return &q.Record, &q.V },
		},
		healths: kind[pool.Health]{
			name: "health", known: fieldsOf[pool.Health](),
			key:  func(k keys, h *pool.Health) string { return k.health(h.Provider) },
			meta: func(h *pool.Health) (*pool.Record, *int) { return &h.Record, &h.V },
		},
		members: kind[pool.Member]{
			name: "member", known: fieldsOf[pool.Member](),
			key:  func(k keys, m *pool.Member) string { return k.member(m.Name) },
			meta: func(m *pool.Member) (*pool.Record, *int) { return &m.Record, &m.V },
		},
		offers: kind[pool.Offer]{
			name: "offer", known: fieldsOf[pool.Offer](),
			key:  func(k keys, o *pool.Offer) string { return k.offer(o.Peer) },
			meta: func(o *pool.Offer) (*pool.Record, *int) { return &o.Record, &o.V },
		},
		penalties: kind[pool.Penalty]{
			name: "penalty", known: fieldsOf[pool.Penalty](),
			key:  func(k keys, p *pool.Penalty) string { return k.penalty(p.Group) },
			meta: func(p *pool.Penalty) (*pool.Record, *int) { return &p.Record, &p.V },
		},
	}
	c.addStates()
	return c
}

// addStates adds what operators make and remove.
func (c *codec) addStates() {
	c.freezes = kind[pool.Freeze]{
		name: "freeze", known: fieldsOf[pool.Freeze](),
		key:  func(k keys, _ *pool.Freeze) string { return k.freeze() },
		meta: func(f *pool.Freeze) (*pool.Record, *int) { return &f.Record, &f.V },
	}
	c.drains = kind[pool.Drain]{
		name: "drain", known: fieldsOf[pool.Drain](),
		key:  func(k keys, d *pool.Drain) string { return k.drain(d.Peer) },
		meta: func(d *pool.Drain) (*pool.Record, *int) { return &d.Record, &d.V },
	}
	c.pauses = kind[pool.Pause]{
		name: "pause", known: fieldsOf[pool.Pause](),
		key: func(k keys, p *pool.Pause) string {
			if p.Provider != "" {
				return k.providerPause(p.Provider)
			}
			return k.pause(p.Image)
		},
		meta: func(p *pool.Pause) (*pool.Record, *int) { return &p.Record, &p.V },
	}
}

// fieldsOf collects the JSON names of a record, those of inlined structs too.
func fieldsOf[T any]() map[string]bool {
	known := map[string]bool{}
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		for f := range t.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case f.Anonymous && name == "":
				walk(f.Type)
			case name != "-":
				known[strings.ToLower(name)] = true
			}
		}
	}
	walk(reflect.TypeFor[T]())
	return known
}

// encode returns the value of a record, in the version of this program.
func (c kind[T]) encode(r *T) ([]byte, error) {
	cp := *r
	record, version := c.meta(&cp)
	if *version > pool.RecordVersion {
		return nil, fmt.Errorf("encode a %s of version %d: %w", c.name, *version, errNewer)
	}
	*version = pool.RecordVersion
	value, err := json.Marshal(&cp)
	if err != nil {
		return nil, fmt.Errorf("encode a %s: %w", c.name, err)
	}
	if len(record.Extra) == 0 {
		return value, nil
	}
	out := bytes.NewBuffer(bytes.TrimSuffix(value, []byte("}")))
	for _, name := range slices.Sorted(maps.Keys(record.Extra)) {
		if c.known[strings.ToLower(name)] {
			continue // it would shadow the field
		}
		quoted, err := json.Marshal(name)
		if err != nil {
			return nil, fmt.Errorf("encode a %s: %w", c.name, err)
		}
		fmt.Fprintf(out, ",%s:%s", quoted, record.Extra[name])
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// stored is a record as decode would read it from the item that it was written
// to.
func (c kind[T]) stored(r T, p place, it kv.Item) *T {
	record, version := c.meta(&r)
	record.Revision, *version = it.ModRevision, pool.RecordVersion
	if c.fill != nil {
		c.fill(&r, p, it)
	}
	return &r
}

// decode reads a record. With errors other than errNewer and errMisplaced the
// record has what could be read.
func (c kind[T]) decode(k keys, p place, it kv.Item) (*T, error) {
	r := new(T)
	record, version := c.meta(r)
	err := json.Unmarshal(it.Value, r)
	if *version > pool.RecordVersion {
		err = fmt.Errorf("version %d: %w", *version, errNewer)
	}
	record.Revision = it.ModRevision
	if c.fill != nil {
		c.fill(r, p, it)
	}
	if err != nil {
		return r, fmt.Errorf("decode %s: %w", it.Key, err)
	}
	if c.key(k, r) != it.Key {
		return r, fmt.Errorf("decode %s: %w", it.Key, errMisplaced)
	}
	if c.knows(it.Value) {
		return r, nil
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(it.Value, &all); err != nil {
		return r, fmt.Errorf("decode %s: %w", it.Key, err)
	}
	maps.DeleteFunc(all, func(name string, _ json.RawMessage) bool { return c.known[strings.ToLower(name)] })
	if len(all) > 0 {
		record.Extra = all
	}
	return r, nil
}

// knows tells whether all fields of a valid JSON object are known. It may say
// no of one that is written in an unusual way.
func (c kind[T]) knows(object []byte) bool {
	depth, name := 0, false
	for i := 0; i < len(object); i++ {
		switch object[i] {
		case '{', '[':
			depth++
			name = depth == 1
		case '}', ']':
			depth--
		case ',':
			name = depth == 1
		case '"':
			begin := i + 1
			i = closing(object, begin)
			if name && !c.known[string(object[begin:i])] {
				return false
			}
			name = false
		}
	}
	return true
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
