package openstack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"poold/cloud"
)

// memory keeps what was asked once and does not change under a running cloud:
// the ids of names, flavors, zones, networks. What was not found is asked for
// again, and everything is once nova refuses what was made of it.
type memory struct {
	mu    sync.Mutex // guards known
	known map[string]*answer
}

// answer is what is known under one key. Whoever holds asking may ask.
type answer struct {
	asking chan struct{}
	mu     sync.Mutex // guards what follows
	value  any
}

func (a *answer) get() any {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.value
}

func (a *answer) put(v any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.value = v
}

func (m *memory) at(key string) *answer {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = map[string]*answer{}
	}
	if m.known[key] == nil {
		m.known[key] = &answer{asking: make(chan struct{}, 1)}
	}
	return m.known[key]
}

// forget drops everything, or only what is known under some keys.
func (m *memory) forget(keys ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(keys) == 0 {
		clear(m.known)
	}
	for _, key := range keys {
		delete(m.known, key)
	}
}

// remembered returns what is known under a key, or asks. Of several callers
// one asks, and the others wait for what it learns.
func remembered[T any](ctx context.Context, m *memory, key string, ask func(context.Context) (T, error)) (T, error) {
	a := m.at(key)
	if v, ok := a.get().(T); ok {
		return v, nil
	}
	var none T
	select {
	case a.asking <- struct{}{}:
	case <-ctx.Done():
		return none, &cloud.Error{Kind: cloud.Transient, Op: "look up", Err: context.Cause(ctx)}
	}
	defer func() { <-a.asking }()
	if v, ok := a.get().(T); ok {
		return v, nil
	}
	v, err := ask(ctx)
	if err != nil {
		return none, err
	}
	a.put(v)
	return v, nil
}

func errNone(kind, name string) error { return fmt.Errorf("there is no %s %q", kind, name) }

// looksLikeUUID tells an id from a name, so that an id needs no lookup.
func looksLikeUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, r := range s {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		hex := r >= '0' && r <= '9' || r >= 'a' && r <= 'f'
		if dash != (r == '-') || !dash && !hex {
			return false
		}
	}
	return true
}

// networkIDs resolves names of networks.
func (d *Driver) networkIDs(ctx context.Context, names []string) ([]string, error) {
	ids := make([]string, 0, len(names))
	for _, name := range names {
		id, err := d.networkID(ctx, name)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func (d *Driver) networkID(ctx context.Context, name string) (string, error) {
	if looksLikeUUID(name) {
		return name, nil
	}
	r := request{
		service: cloud.Network, method: http.MethodGet, path: "/v2.0/networks", what: "find network",
		query: url.Values{"name": {name}, "fields": {"id"}},
	}
	return remembered(ctx, &d.memory, "network "+name, func(ctx context.Context) (string, error) {
		switch ok, err := d.has(ctx, cloud.Network); {
		case err != nil:
			return "", err
		case !ok:
			return "", r.fail(cloud.Invalid, fmt.Errorf("network %q: where there is no network service, an id is needed", name))
		}
		var answer struct {
			Networks []identified `json:"networks"`
		}
		if err := d.call(ctx, r, &answer); err != nil {
			return "", err
		}
		return only(&r, "network", name, answer.Networks)
	})
}

// identified is what has an id.
type identified struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// only returns the id of the one thing that was found by a name.
func only(r *request, kind, name string, found []identified) (string, error) {
	switch len(found) {
	case 0:
		return "", r.fail(cloud.Invalid, errNone(kind, name))
	case 1:
		return found[0].ID, nil
	}
	return "", r.fail(cloud.Invalid, fmt.Errorf("there are %d %ss %q: use an id", len(found), kind, name))
}

// serverGroupID resolves the name of a server group. Nova cannot search them,
// so all are listed.
func (d *Driver) serverGroupID(ctx context.Context, name string) (string, error) {
	if looksLikeUUID(name) {
		return name, nil
	}
	r := request{
		service: cloud.Compute, method: http.MethodGet, path: "/os-server-groups", what: "find server group",
	}
	return remembered(ctx, &d.memory, "server group "+name, func(ctx context.Context) (string, error) {
		var answer struct {
			Groups []identified `json:"server_groups"`
		}
		if err := d.call(ctx, r, &answer); err != nil {
			return "", err
		}
		other := func(g identified) bool { return g.Name != name }
		return only(&r, "server group", name, slices.DeleteFunc(answer.Groups, other))
	})
}

// EnsureKeyPair makes a key pair. One of that name that is there already was
// made of the same key, from which the name follows.
func (d *Driver) EnsureKeyPair(ctx context.Context, name, publicKey string) error {
	r := request{
		service: cloud.Compute, method: http.MethodPost, path: "/os-keypairs", what: "create key pair", changes: true,
		in: map[string]any{"keypair": map[string]string{"name": name, "public_key": publicKey}},
	}
	if cloud.KeyPairMark(name).Installation != d.installation {
		return r.fail(cloud.Invalid, errors.New("a key pair needs a name with our mark"))
	}
	_, err := remembered(ctx, &d.memory, "key pair "+name, func(ctx context.Context) (bool, error) {
		err := d.call(ctx, r, nil)
		if cloud.KindOf(err) == cloud.Conflict {
			err = nil
		}
		return true, err
	})
	return err
}
