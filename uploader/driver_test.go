package uploader

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
	"sync"
	"time"

	"poold/cloud"
	"poold/internal/sleep"
)

// fakeCloud is a cloud in memory that stores images.
type fakeCloud struct {
	mu     sync.Mutex
	images map[string]*cloud.Image
	// fault, if set, is asked before and after every call.
	fault func(when, op, id string) error
	// pace is how long each read of image data takes.
	pace time.Duration
	// processing is how long an image is saving after its data arrived.
	processing time.Duration
	// corrupt stores other data than was sent.
	corrupt bool
	// converts stores what is imported in another format.
	converts bool
	// cut is after how many bytes the next connection breaks.
	cut int64
	// importFails is how many imports and copies fail; means, shelf and hashes
	// are for imports.
	importFails int
	means       cloud.ImageMeans
	shelf       *Shelf
	hashes      map[string]string
	objects     fakeObjects
	calls       []string
	sending     int
	// most is how many sends there were at once.
	most int
}

func newFakeCloud() *fakeCloud {
	return &fakeCloud{
		images: make(map[string]*cloud.Image), hashes: map[string]string{},
		objects: fakeObjects{containers: map[string]map[string]*fakeObject{}},
	}
}

func fail(kind cloud.Kind) error {
	return &cloud.Error{Kind: kind, Op: "test", Err: errors.New("as told")}
}

// call makes one call under the fault's eyes.
func (c *fakeCloud) call(ctx context.Context, op, id string, do func() error) error {
	if ctx.Err() != nil {
		return fail(cloud.Transient)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, op)
	if c.fault != nil {
		if err := c.fault("before", op, id); err != nil {
			return err
		}
	}
	err := do()
	if c.fault != nil && err == nil {
		err = c.fault("after", op, id)
	}
	return err
}

func (*fakeCloud) ImageFormat() string { return "qcow2" }

func (c *fakeCloud) CreateImage(ctx context.Context, spec cloud.ImageSpec) (string, error) {
	return spec.ID, c.call(ctx, "create", spec.ID, func() error {
		if c.images[spec.ID] == nil {
			c.images[spec.ID] = &cloud.Image{ID: spec.ID, Name: spec.Name, Status: cloud.ImageQueued, Mark: spec.Mark}
		}
		return nil
	})
}

func (c *fakeCloud) status(id string, s cloud.ImageStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.images[id]; i != nil {
		i.Status = s
	}
}

func (c *fakeCloud) SendImage(ctx context.Context, id string, data io.Reader, size int64) error {
	err := c.call(ctx, "send", id, func() error {
		if c.images[id] == nil || c.images[id].Status != cloud.ImageQueued {
			return fail(cloud.Conflict)
		}
		c.images[id].Status = cloud.ImageSaving
		c.sending++
		c.most = max(c.most, c.sending)
		return nil
	})
	if err != nil {
		return err
	}
	n, hash, err := c.receive(ctx, data)
	c.mu.Lock()
	c.sending--
	c.mu.Unlock()
	if err != nil || n != size {
		return fail(cloud.Ambiguous) // and it stays in saving for ever
	}
	done := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if i := c.images[id]; i != nil {
			i.Status, i.Bytes, i.HashAlgo, i.Hash = cloud.ImageActive, n, "sha512", hash
		}
	}
	if c.processing == 0 {
		done()
	} else {
		time.AfterFunc(c.processing, done)
	}
	return c.call(ctx, "sent", id, func() error { return nil })
}

func (c *fakeCloud) receive(ctx context.Context, data io.Reader) (int64, string, error) {
	h := sha512.New()
	if c.corrupt {
		h.Write([]byte("x"))
	}
	var n int64
	for buf := make([]byte, 64); ; {
		k, err := data.Read(buf)
		n += int64(k)
		h.Write(buf[:k])
		if c.cutNow(n) {
			return n, "", io.ErrUnexpectedEOF
		}
		if errors.Is(err, io.EOF) {
			return n, hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return n, "", err
		}
		if c.pace > 0 {
			if err := sleep.For(ctx, c.pace); err != nil {
				return n, "", err
			}
		}
	}
}

// cutNow tells whether a connection breaks after n bytes, once.
func (c *fakeCloud) cutNow(n int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut <= 0 || n < c.cut {
		return false
	}
	c.cut = 0
	return true
}

func (c *fakeCloud) Image(ctx context.Context, id string) (cloud.Image, error) {
	var found cloud.Image
	err := c.call(ctx, "look", id, func() error {
		if c.images[id] == nil {
			return fail(cloud.NotFound)
		}
		found = *c.images[id]
		return nil
	})
	return found, err
}

func (c *fakeCloud) DeleteImage(ctx context.Context, id string) error {
	return c.call(ctx, "delete", id, func() error {
		if c.images[id] == nil {
			return fail(cloud.NotFound)
		}
		delete(c.images, id)
		return nil
	})
}

func (c *fakeCloud) Resources(ctx context.Context, kind cloud.ResourceKind) ([]cloud.Resource, error) {
	var found []cloud.Resource
	err := c.call(ctx, "list", "", func() error {
		for _, i := range c.images {
			if (cloud.MarkIn(i.Name) != cloud.Mark{}) != (kind == cloud.TaskImage) {
				continue
			}
			found = append(found, cloud.Resource{Kind: kind, ID: i.ID, Name: i.Name, Mark: i.Mark})
		}
		return nil
	})
	return found, err
}

func (c *fakeCloud) Remove(ctx context.Context, _ cloud.ResourceKind, id string) error {
	return c.DeleteImage(ctx, id)
}

// count says how many calls of a kind were made.
func (c *fakeCloud) count(op string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, called := range c.calls {
		if called == op {
			n++
		}
	}
	return n
}

func (c *fakeCloud) ids() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ids []string
	for id := range c.images {
		ids = append(ids, id)
	}
	return ids
}
