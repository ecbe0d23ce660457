package store

import (
	"encoding/json"
	"errors"
	"fmt"

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
	// newest is the newest version that is read.
	newest int
	// shape is what the JSON of a record may consist of.
	shape *shape
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

// newCodec returns the codec of a program whose records have a version.
func newCodec(newest int) codec {
	c := codec{
		nodes: kind[pool.Node]{
			name: "node", newest: newest, shape: shapeOf[pool.Node](), immutable: true,
			key:  func(k keys, n *pool.Node) string { return k.node(n.Provider, n.ID) },
			meta: func(n *pool.Node) (*pool.Record, *int) { return &n.Record, &n.V },
		},
		requests: kind[pool.Request]{
			name: "request", newest: newest, shape: shapeOf[pool.Request](),
			key:  func(k keys, r *pool.Request) string { return k.request(r.Client, r.ID) },
			meta: func(r *pool.Request) (*pool.Record, *int) { return &r.Record, &r.V },
			fill: func(r *pool.Request, p place, it kv.Item) {
				r.Client, r.ID, r.Leased, r.CreateRevision = p.a, p.b, it.Lease != 0, it.CreateRevision
			},
		},
		allocations: kind[pool.Allocation]{
			name: "allocation", newest: newest, shape: shapeOf[pool.Allocation](), immutable: true,
			key:  func(k keys, a *pool.Allocation) string { return k.allocation(a.Client, a.ID) },
			meta: func(a *pool.Allocation) (*pool.Record, *int) { return &a.Record, &a.V },
			fill: func(a *pool.Allocation, p place, _ kv.Item) { a.Client, a.ID = p.a, p.b },
		},
		builds: kind[pool.Build]{
			name: "build", newest: newest, shape: shapeOf[pool.Build](),
			key:  func(k keys, b *pool.Build) string { return k.build(b.Image, b.ID) },
			meta: func(b *pool.Build) (*pool.Record, *int) { return &b.Record, &b.V },
		},
		uploads: kind[pool.Upload]{
			name: "upload", newest: newest, shape: shapeOf[pool.Upload](),
			key:  func(k keys, u *pool.Upload) string { return k.upload(u.Image, u.Build, u.Provider) },
			meta: func(u *pool.Upload) (*pool.Record, *int) { return &u.Record, &u.V },
		},
		commands: kind[pool.Command]{
			name: "command", newest: newest, shape: shapeOf[pool.Command](),
			key:  func(k keys, c *pool.Command) string { return k.command(c.ID) },
			meta: func(c *pool.Command) (*pool.Record, *int) { return &c.Record, &c.V },
			fill: func(c *pool.Command, p place, _ kv.Item) { c.ID = p.a },
		},
		quotas: kind[pool.Quota]{
			name: "quota", newest: newest, shape: shapeOf[pool.Quota](),
			key:  func(k keys, q *pool.Quota) string { return k.quota(q.Provider) },
			meta: func(q *pool.Quota) (*pool.Record, *int) { return &q.Record, &q.V },
		},
		healths: kind[pool.Health]{
			name: "health", newest: newest, shape: shapeOf[pool.Health](),
			key:  func(k keys, h *pool.Health) string { return k.health(h.Provider) },
			meta: func(h *pool.Health) (*pool.Record, *int) { return &h.Record, &h.V },
		},
		members: kind[pool.Member]{
			name: "member", newest: newest, shape: shapeOf[pool.Member](),
			key:  func(k keys, m *pool.Member) string { return k.member(m.Name) },
			meta: func(m *pool.Member) (*pool.Record, *int) { return &m.Record, &m.V },
		},
		offers: kind[pool.Offer]{
			name: "offer", newest: newest, shape: shapeOf[pool.Offer](),
			key:  func(k keys, o *pool.Offer) string { return k.offer(o.Peer) },
			meta: func(o *pool.Offer) (*pool.Record, *int) { return &o.Record, &o.V },
		},
		penalties: kind[pool.Penalty]{
			name: "penalty", newest: newest, shape: shapeOf[pool.Penalty](),
			key:  func(k keys, p *pool.Penalty) string { return k.penalty(p.Group) },
			meta: func(p *pool.Penalty) (*pool.Record, *int) { return &p.Record, &p.V },
		},
	}
	c.addStates(newest)
	return c
}

// addStates adds what operators make and remove.
func (c *codec) addStates(newest int) {
	c.freezes = kind[pool.Freeze]{
		name: "freeze", newest: newest, shape: shapeOf[pool.Freeze](),
		key:  func(k keys, _ *pool.Freeze) string { return k.freeze() },
		meta: func(f *pool.Freeze) (*pool.Record, *int) { return &f.Record, &f.V },
	}
	c.drains = kind[pool.Drain]{
		name: "drain", newest: newest, shape: shapeOf[pool.Drain](),
		key:  func(k keys, d *pool.Drain) string { return k.drain(d.Peer) },
		meta: func(d *pool.Drain) (*pool.Record, *int) { return &d.Record, &d.V },
	}
	c.pauses = kind[pool.Pause]{
		name: "pause", newest: newest, shape: shapeOf[pool.Pause](),
		key: func(k keys, p *pool.Pause) string {
			if p.Provider != "" {
				return k.providerPause(p.Provider)
			}
			return k.pause(p.Image)
		},
		meta: func(p *pool.Pause) (*pool.Record, *int) { return &p.Record, &p.V },
	}
}

// encode returns the value of a record, in a version. What the stored record has
// that this program does not know is still there.
func (c kind[T]) encode(r *T, as int) ([]byte, error) {
	cp := *r
	record, version := c.meta(&cp)
	if *version > c.newest {
		return nil, fmt.Errorf("encode a %s of version %d: %w", c.name, *version, errNewer)
	}
	*version = as
	value, err := json.Marshal(&cp)
	if err != nil {
		return nil, fmt.Errorf("encode a %s: %w", c.name, err)
	}
	if len(record.Stored) == 0 {
		return value, nil
	}
	var known T
	if err := json.Unmarshal(record.Stored, &known); err != nil {
		return nil, fmt.Errorf("encode a %s: %w", c.name, err)
	}
	before, err := json.Marshal(&known)
	if err != nil {
		return nil, fmt.Errorf("encode a %s: %w", c.name, err)
	}
	if value, err = graft(record.Stored, before, value); err != nil {
		return nil, fmt.Errorf("encode a %s: %w", c.name, err)
	}
	return value, nil
}

// stored is a record as decode would read it from the item that it was written
// to, in a version.
func (c kind[T]) stored(r T, as int, p place, it kv.Item) *T {
	record, version := c.meta(&r)
	record.Revision, *version = it.ModRevision, as
	if len(record.Stored) > 0 {
		record.Stored = it.Value
	}
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
	if *version > c.newest {
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
	if !c.shape.knows(it.Value) {
		record.Stored = it.Value
	}
	return r, nil
}
