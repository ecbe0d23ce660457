package uploader

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"poold/cloud"
	"poold/internal/sleep"
)

// Shelf holds the files that clouds may fetch from this peer: each under a name
// that cannot be guessed, for as long as its upload needs it. It is safe for
// concurrent use.
type Shelf struct {
	base   string
	random io.Reader
	limits *Limits

	mu     sync.Mutex // guards what follows
	offers map[string]*offer
}

// offer is a file on a shelf.
type offer struct {
	url, path string
	size      int64
	// fetched is the most that one fetch has had of it.
	fetched atomic.Int64
	// over ends the fetches that are under way.
	over     context.Context //nolint:containedctx // it bounds what others do
	withdraw context.CancelFunc
}

// nameBytes is how many random bytes make a name.
const nameBytes = 32

// NewShelf makes an empty shelf that clouds reach at an address; files are read
// no faster than the limits allow.
func NewShelf(base string, random io.Reader, limits *Limits) *Shelf {
	return &Shelf{base: strings.TrimSuffix(base, "/"), random: random, limits: limits, offers: map[string]*offer{}}
}

// put offers a file until ctx ends or it is withdrawn.
func (s *Shelf) put(ctx context.Context, path string, size int64) (*offer, error) {
	if s == nil {
		return nil, errors.New("web-download needs webapp.image-url in this peer's configuration")
	}
	var secret [nameBytes]byte
	if _, err := io.ReadFull(s.random, secret[:]); err != nil {
		return nil, fmt.Errorf("mint a name: %w", err)
	}
	name := hex.EncodeToString(secret[:])
	over, cancel := context.WithCancel(ctx)
	o := &offer{url: s.base + "/image-files/" + name, path: path, size: size, over: over}
	o.withdraw = func() {
		cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.offers, name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offers[name] = o
	return o, nil
}

// Open opens the file of a name, for one fetch until ctx ends; it tells the
// size. There is none if nothing, or nothing any more, is offered by that name.
func (s *Shelf) Open(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	s.mu.Lock()
	o := s.offers[name]
	s.mu.Unlock()
	if o == nil {
		return nil, 0, os.ErrNotExist
	}
	file, err := os.Open(o.path)
	if err != nil {
		return nil, 0, err
	}
	slow := s.limits.slow(ctx, file)
	read := func(p []byte) (int, error) {
		if o.over.Err() != nil {
			return 0, context.Cause(o.over)
		}
		n, err := slow.Read(p)
		o.note(position(file))
		return n, err
	}
	return struct {
		io.Reader
		io.Closer
	}{reading(read), file}, o.size, nil
}

func (o *offer) note(at int64) {
	for was := o.fetched.Load(); at > was && !o.fetched.CompareAndSwap(was, at); was = o.fetched.Load() {
	}
}

// download lets the cloud fetch the file, and waits until it has, or has given
// up.
func (t *transfer) download(ctx context.Context) error {
	file, err := t.open()
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	a := t.artifact()
	o, err := t.shelf.put(ctx, a.Path, a.Bytes)
	if err != nil {
		return err
	}
	defer o.withdraw()
	id := t.record.ExternalID // meanwhile the record is whose progress it shows
	err = t.watched(ctx, o.fetched.Load, func(ctx context.Context) error {
		err := t.way.importer.ImportImage(ctx, id, cloud.ImportSpec{
			Method: cloud.ImageByDownload, URL: o.url, Stores: t.way.stores,
		})
		if err != nil && !errors.Is(err, cloud.Ambiguous) {
			return err
		}
		t.sent = true
		return t.imported(ctx, id)
	})
	return t.refused(err)
}

// imported waits until the cloud no longer works on an import, or it seems that
// it never will.
func (t *transfer) imported(ctx context.Context, id string) error {
	delay := lookFirst
	for idle := 0; idle <= lostLooks; delay = min(2*delay, lookMax) {
		if err := sleep.For(ctx, delay); err != nil {
			return err
		}
		image, err := t.driver.Image(ctx, id)
		switch {
		case err != nil && !retryable(err):
			return err
		case err == nil && len(image.FailedIn) > 0:
			return nil
		case err != nil, image.Status == cloud.ImageImporting, image.Status == cloud.ImageSaving:
			idle = 0
		case image.Status != cloud.ImageQueued:
			return nil
		default:
			idle++
		}
	}
	return nil
}
