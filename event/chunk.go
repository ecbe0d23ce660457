package event

import (
	"slices"
	"strings"
	"time"

	"poold/pool"
)

const (
	// chunkBytes is how large a chunk gets: its numbers fit into 16 bits, because
	// each text takes textBytes at least.
	chunkBytes = 256 << 10
	// entryBytes, textBytes and servedBytes are what an entry, a text beside its
	// letters, and a node that a request was given take.
	entryBytes, textBytes, servedBytes = 40, 24, 120
)

// entry is an event in a chunk. Its texts are those of the chunk, by number; so is
// served, which counts from 1.
type entry struct {
	at      int64 // in milliseconds, which is what records have
	seconds float64

	kind, name, from, to, by, reason, provider, label, image, request, served uint16

	human bool
}

// chunk is a run of events. What is said of many, such as a provider or a state,
// is there once; the first text is the empty one.
type chunk struct {
	// first is the number of its first event, size about how many bytes it takes.
	first   int64
	size    int
	entries []entry
	texts   []string
	served  [][]Served
	// numbers are those of the texts while events are added; nil from then on.
	numbers map[string]uint16
}

func newChunk(first int64) *chunk {
	return &chunk{first: first, texts: []string{""}, numbers: map[string]uint16{"": 0}}
}

// next is the number of the event that comes after the last one.
func (c *chunk) next() int64 { return c.first + int64(len(c.entries)) }

// add takes in an event, and tells whether there is room for another one.
func (c *chunk) add(e *Event) (room bool) {
	n := entry{
		at: e.At.UnixMilli(), seconds: e.Seconds,
		kind: c.number(e.Kind), name: c.number(e.Name), from: c.number(e.From), to: c.number(e.To), by: c.number(e.By),
		reason: c.number(e.Reason), provider: c.number(e.Provider), label: c.number(e.Label), image: c.number(e.Image),
		request: c.number(e.Request), human: e.Human(),
	}
	if len(e.Served) > 0 {
		c.served = append(c.served, c.kept(e.Served))
		n.served = uint16(len(c.served)) //nolint:gosec // see chunkBytes
	}
	c.entries = append(c.entries, n)
	c.size += entryBytes
	return c.size < chunkBytes
}

// number returns the number of a text, which is kept without what it may be a part of.
func (c *chunk) number(text string) uint16 {
	n, known := c.numbers[text]
	if !known {
		n, text = uint16(len(c.texts)), strings.Clone(text) //nolint:gosec // see chunkBytes
		c.texts, c.numbers[text] = append(c.texts, text), n
		c.size += textBytes + len(text)
	}
	return n
}

// kept returns a copy of nodes that shares with the chunk the texts that it has.
func (c *chunk) kept(nodes []Served) []Served {
	nodes = slices.Clone(nodes)
	for i := range nodes {
		s := &nodes[i]
		id := string(s.Node)
		for _, text := range []*string{&id, &s.Label, &s.Provider, &s.Instance, &s.Image, &s.Build} {
			if n, known := c.numbers[*text]; known {
				*text = c.texts[n]
				continue
			}
			*text = strings.Clone(*text)
			c.size += len(*text)
		}
		s.Node = pool.NodeID(id)
		c.size += servedBytes
	}
	return nodes
}

// seal ends the adding, and gives back what it took beyond the events.
func (c *chunk) seal() {
	c.numbers, c.entries, c.texts, c.served = nil, slices.Clone(c.entries), slices.Clone(c.texts), slices.Clone(c.served)
}

func (c *chunk) entry(seq int64) *entry { return &c.entries[seq-c.first] }

// event returns the event with a number.
func (c *chunk) event(seq int64) Event {
	n, text := c.entry(seq), c.texts
	e := Event{
		Seq: seq, At: time.UnixMilli(n.at).UTC(), Kind: text[n.kind], Name: text[n.name], From: text[n.from], To: text[n.to],
		By: text[n.by], Reason: text[n.reason], Seconds: n.seconds, Provider: text[n.provider], Label: text[n.label],
		Image: text[n.image], Request: text[n.request],
	}
	if n.served > 0 {
		e.Served = c.served[n.served-1]
	}
	return e
}

// wish is a [Filter] in the numbers of a chunk, of which 0 may be anything.
type wish struct {
	kind, name, provider, label, image, request uint16

	human bool
	// requests is the kind of a request.
	requests uint16
}

// wish tells what of a chunk a filter wants; false if nothing.
func (c *chunk) wish(f *Filter) (w wish, some bool) {
	if n := slices.Index(c.texts, Request); n > 0 {
		w.requests = uint16(n) //nolint:gosec // see chunkBytes
	}
	w.human = f.Human
	for _, field := range []struct {
		text   string
		number *uint16
	}{
		{f.Kind, &w.kind},
		{f.Name, &w.name},
		{f.Provider, &w.provider},
		{f.Label, &w.label},
		{f.Image, &w.image},
		{f.Request, &w.request},
	} {
		n := slices.Index(c.texts, field.text)
		if n < 0 {
			return wish{}, false
		}
		*field.number = uint16(n) //nolint:gosec // see chunkBytes
	}
	return w, true
}

// wants tells the same as [Filter.Wants].
func (w *wish) wants(n *entry) bool {
	is := func(want, is uint16) bool { return want == 0 || want == is }
	request := n.request
	if n.kind == w.requests {
		request = n.name
	}
	return is(w.kind, n.kind) && is(w.name, n.name) && is(w.provider, n.provider) && is(w.label, n.label) &&
		is(w.image, n.image) && is(w.request, request) && (!w.human || n.human)
}
