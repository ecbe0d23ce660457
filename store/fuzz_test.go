package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"poold/pool"
	"poold/store/kv"
)

// Whatever a record is, reading it ends in no panic; one that can be read is
// written again, with all that it says, and then reads the same for ever.
func FuzzRecords(f *testing.F) {
	c, k := newCodec(pool.RecordVersion), newKeys(DefaultPrefix)
	kinds := []func(*testing.T, []byte){
		again(k, c.nodes), again(k, c.requests), again(k, c.allocations), again(k, c.builds), again(k, c.uploads),
		again(k, c.commands), again(k, c.quotas), again(k, c.healths), again(k, c.members), again(k, c.penalties),
		again(k, c.freezes), again(k, c.pauses), again(k, c.drains), again(k, c.offers),
	}
	for i, record := range []string{
		`{"v":1,"id":"n","provider":"p","pool":"main","label":"l","state":"ready","since":"2026-11-25T22:00:00.5Z","timeline":[{"state":"ready","at":"2026-11-25T22:00:00Z"}],"host_keys":["ssh-ed25519 AAAA"],"addresses":[{"ip":"::1","version":6}]}`,
		`{"v":1,"labels":["l"],"max_lifetime":"4h","hold":{"ttl":"1h"},"annotations":{"a":"b"},"later":{"x":[1]}}`,
		`{"v":1,"state":"fulfilled","nodes":[{"id":"n"}],"waiting":[{"label":"l"}]}`,
		`{"v":1,"image":"i","id":"b","state":"ready"}`,
		`{"v":1,"image":"i","build":"b","provider":"p","state":"ready","image_id":"x"}`,
		`{"v":1,"do":"delete","node":"n"}`,
		`{"v":1,"provider":"p","limits":{"instances":-1,"cores":3}}`,
		`{"v":1,"provider":"p"}`, `{"v":1,"name":"a"}`, `{"v":1,"group":"g"}`,
		`{"v":1,"reason":"\ud800"}`, `{"v":1,"image":"i"}`, `{"v":1,"peer":"a"}`,
		`{"v":1,"peer":"a","catalog":{"labels":[{"name":"l","periods":[{"days":[1],"location":"Europe/Berlin"}]}]}}`,
	} {
		f.Add(uint8(i), []byte(record))
	}
	f.Add(uint8(0), []byte(`{"v":99}`))
	f.Add(uint8(3), []byte(`[`))
	f.Fuzz(func(t *testing.T, kind uint8, value []byte) { kinds[int(kind)%len(kinds)](t, value) })
}

// again reads a record of a kind, at the key that is its own, writes it, and reads
// that.
func again[T any](k keys, c kind[T]) func(*testing.T, []byte) {
	read := func(value []byte) (*T, string, error) {
		r := new(T)
		if err := json.Unmarshal(value, r); err != nil {
			r = new(T)
		}
		key := c.key(k, r)
		r, err := c.decode(k, k.parse(key), kv.Item{Key: key, Value: value, ModRevision: 7})
		return r, key, err
	}
	return func(t *testing.T, value []byte) {
		t.Helper()
		r, key, err := read(value)
		if record, _ := c.meta(r); record.Revision != 7 {
			t.Errorf("%s %q: the revision is lost", c.name, value)
		}
		if err != nil {
			return
		}
		// What is written first may still have an empty field of the value that was
		// read, if that had others which are not known.
		var written [][]byte
		for range 3 {
			value, err := c.encode(r, pool.RecordVersion)
			if err != nil {
				t.Fatalf("%s %q was read and cannot be written: %v", c.name, value, err)
			}
			written = append(written, value)
			again, same, err := read(value)
			if errors.Is(err, errMisplaced) || key != same {
				t.Fatalf("%s %q at %s became that at %s: %v", c.name, value, key, same, err)
			}
			if err != nil {
				t.Fatalf("%s %q became %q: %v", c.name, value, written, err)
			}
			if before, after := c.known(t, r), c.known(t, again); !bytes.Equal(before, after) {
				t.Fatalf("%s %q says %s, and written %s", c.name, value, before, after)
			}
			r = again
		}
		if !bytes.Equal(written[1], written[2]) {
			t.Errorf("%s %q became %q", c.name, value, written)
		}
	}
}

// known is what a record says that this program knows, but for its version.
func (c kind[T]) known(t *testing.T, r *T) []byte {
	t.Helper()
	cp := *r
	_, version := c.meta(&cp)
	*version = pool.RecordVersion
	text, err := json.Marshal(&cp)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
