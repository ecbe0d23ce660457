package store

import (
	"bytes"
	"maps"
	"sync"

	"poold/store/kv"
)

// mostOwn bounds what is remembered of our own writes: nobody may be listening.
const mostOwn = 10_000

// own remembers what this process writes until the watch tells of it, so that
// it need not be read again: nearly all records that change are our own nodes
// and allocations. The zero value is empty.
type own struct {
	mu sync.Mutex // guards written
	// written is by key.
	written map[string]ownWrite
}

// ownWrite is a record and the value that it was encoded to.
type ownWrite struct {
	value   []byte
	record  any
	version int
}

// expect remembers writes that are about to be made.
func (o *own) expect(writes map[string]ownWrite) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.written == nil || len(o.written) > mostOwn {
		o.written = map[string]ownWrite{}
	}
	maps.Copy(o.written, writes)
}

// forget drops writes that were not made.
func (o *own) forget(writes map[string]ownWrite) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key := range writes {
		delete(o.written, key)
	}
}

// take returns the record that an item is the value of, nil if it is not known,
// and the version it was written in. Whoever made it, it is the same to the last
// byte.
func (o *own) take(it kv.Item) (record any, version int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	w, found := o.written[it.Key]
	if !found || !bytes.Equal(w.value, it.Value) {
		return nil, 0
	}
	delete(o.written, it.Key)
	return w.record, w.version
}
