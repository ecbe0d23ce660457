package sim

import (
	"cmp"
	"crypto/md5" //nolint:gosec // Swift's ETag is an MD5
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"
)

// Object is an object of the object store.
type Object struct {
	Name     string    `json:"name"`
	Bytes    int64     `json:"bytes"`
	MD5      string    `json:"hash"`
	Modified time.Time `json:"last_modified"`
	// Expires is when it vanishes by itself; zero is never.
	Expires time.Time `json:"expires"`
}

// object is an object with its data, or with what it consists of.
type object struct {
	Object
	data []byte
	// parts are those of a static large object, as "container/name"; prefix
	// begins those of a dynamic one in the same form.
	parts  []string
	prefix string
}

// ObjectSpec is what an object is made of: data, or other objects.
type ObjectSpec struct {
	Container, Name string
	Data            []byte
	Parts           []Part
	// Prefix makes a dynamic large object.
	Prefix string
	// Life is how long it stays; zero is for ever.
	Life time.Duration
}

// Part is an entry of the manifest of a static large object.
type Part struct {
	Path  string `json:"path"`
	ETag  string `json:"etag"`
	Bytes int64  `json:"size_bytes"`
}

// MakeContainer makes a container, unless it is there.
func (c *Cloud) MakeContainer(now time.Time, name string) {
	c.lock(now)
	defer c.mu.Unlock()
	if c.containers[name] == nil {
		c.containers[name] = map[string]*object{}
	}
}

// Containers are the names of all containers.
func (c *Cloud) Containers(now time.Time) []string {
	c.lock(now)
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.containers))
}

// DeleteContainer deletes a container that is empty.
func (c *Cloud) DeleteContainer(now time.Time, name string) error {
	c.lock(now)
	defer c.mu.Unlock()
	switch objects := c.containers[name]; {
	case objects == nil:
		return noObject()
	case len(objects) > 0:
		return failf(statusConflict, "There was a conflict when trying to complete your request.")
	}
	delete(c.containers, name)
	return nil
}

// Objects lists what a container has.
func (c *Cloud) Objects(now time.Time, container, prefix string) ([]Object, error) {
	c.lock(now)
	defer c.mu.Unlock()
	objects := c.containers[container]
	if objects == nil {
		return nil, noObject()
	}
	var found []Object
	for _, o := range objects {
		if strings.HasPrefix(o.Name, prefix) {
			found = append(found, o.Object)
		}
	}
	slices.SortFunc(found, func(a, b Object) int { return cmp.Compare(a.Name, b.Name) })
	return found, nil
}

// PutObject makes an object.
func (c *Cloud) PutObject(now time.Time, spec ObjectSpec) (Object, error) {
	c.lock(now)
	defer c.mu.Unlock()
	objects := c.containers[spec.Container]
	if objects == nil {
		return Object{}, noObject()
	}
	o := &object{data: spec.Data, prefix: spec.Prefix, Object: Object{
		Name: spec.Name, Bytes: int64(len(spec.Data)), MD5: sum(spec.Data), Modified: c.now,
	}}
	if spec.Life > 0 {
		o.Expires = c.now.Add(spec.Life)
	}
	for _, p := range spec.Parts {
		part := c.object(strings.TrimPrefix(p.Path, "/"))
		if part == nil || part.MD5 != p.ETag || part.Bytes != p.Bytes {
			return Object{}, failf(statusBadRequest, "Errors:\n%s, Etag Mismatch or not found", p.Path)
		}
		o.parts = append(o.parts, strings.TrimPrefix(p.Path, "/"))
	}
	objects[spec.Name] = o
	return o.Object, nil
}

func sum(data []byte) string {
	h := md5.Sum(data) //nolint:gosec // see the import
	return hex.EncodeToString(h[:])
}

// object finds an object by "container/name", unless it has expired.
func (c *Cloud) object(path string) *object {
	container, name, _ := strings.Cut(path, "/")
	return c.containers[container][name]
}

// ObjectData returns what a reader of an object gets, its parts joined.
func (c *Cloud) ObjectData(now time.Time, path string) ([]byte, error) {
	c.lock(now)
	defer c.mu.Unlock()
	if c.object(path) == nil {
		return nil, noObject()
	}
	return c.read(path), nil
}

func (c *Cloud) read(path string) []byte {
	o := c.object(path)
	switch {
	case o == nil:
		return nil
	case o.prefix != "":
		container, prefix, _ := strings.Cut(o.prefix, "/")
		for name := range c.containers[container] {
			if strings.HasPrefix(name, prefix) {
				o.parts = append(o.parts, container+"/"+name)
			}
		}
		slices.Sort(o.parts)
		defer func() { o.parts = nil }()
	}
	data := slices.Clone(o.data)
	for _, p := range o.parts {
		data = append(data, c.read(p)...)
	}
	return data
}

// DeleteObject deletes an object, and not its parts.
func (c *Cloud) DeleteObject(now time.Time, path string) error {
	c.lock(now)
	defer c.mu.Unlock()
	if c.object(path) == nil {
		return noObject()
	}
	container, name, _ := strings.Cut(path, "/")
	delete(c.containers[container], name)
	return nil
}

// expire removes the objects whose time is over.
func (c *Cloud) expire() {
	for _, objects := range c.containers {
		maps.DeleteFunc(objects, func(_ string, o *object) bool { return !o.Expires.IsZero() && !c.now.Before(o.Expires) })
	}
}

func noObject() *CallError {
	return failf(statusNotFound, "The resource could not be found.")
}
