package builder

import (
	"context"
	"crypto/md5" //nolint:gosec // clouds still name images by it; sha256 and sha512 are what is trusted
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"os"
	"sync"
	"syscall"

	"poold/pool"
)

const (
	// chunk is how much of a file is hashed at once.
	chunk = 1 << 20
	// seekData and seekHole are what lseek calls them.
	seekData = 3
	seekHole = 4
)

// hashes computes several hashes of what is written to it, side by side.
type hashes struct{ md5, sha256, sha512 hash.Hash }

// Write hashes p.
func (h hashes) Write(p []byte) (int, error) {
	var all sync.WaitGroup
	for _, one := range []hash.Hash{h.md5, h.sha256, h.sha512} {
		all.Go(func() { _, _ = one.Write(p) }) // a hash takes everything
	}
	all.Wait()
	return len(p), nil
}

// measureFile reads the data of a file once, and its holes not at all.
func measureFile(ctx context.Context, path string) (pool.Artifact, error) {
	f, err := os.Open(path)
	if err != nil {
		return pool.Artifact{}, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return pool.Artifact{}, err
	}
	if info.Size() == 0 {
		return pool.Artifact{}, errors.New("the file is empty")
	}
	h := hashes{md5.New(), sha256.New(), sha512.New()} //nolint:gosec // see the import
	buffer, zeros := make([]byte, chunk), make([]byte, chunk)
	if err := extents(f, info.Size(), func(from, to int64, hole bool) error {
		if !hole {
			_, err := io.CopyBuffer(h, reader{ctx.Err, io.NewSectionReader(f, from, to-from)}, buffer)
			return err
		}
		for ; from < to && ctx.Err() == nil; from += chunk {
			_, _ = h.Write(zeros[:min(chunk, to-from)])
		}
		return ctx.Err()
	}); err != nil {
		return pool.Artifact{}, err
	}
	return pool.Artifact{
		Path: path, Bytes: info.Size(), DiskBytes: allocated(info),
		MD5:    hex.EncodeToString(h.md5.Sum(nil)),
		SHA256: hex.EncodeToString(h.sha256.Sum(nil)),
		SHA512: hex.EncodeToString(h.sha512.Sum(nil)),
	}, nil
}

// extents visits the data and the holes of a file in order, without a gap. A
// filesystem that knows no holes has data only.
func extents(f *os.File, size int64, visit func(from, to int64, hole bool) error) error {
	seek := func(at int64, whence int) (int64, bool) {
		to, err := syscall.Seek(int(f.Fd()), at, whence)
		if errors.Is(err, syscall.ENXIO) {
			return size, true // there is no more of it
		}
		return min(to, size), err == nil && to >= at
	}
	for at := int64(0); at < size; {
		data, ok := seek(at, seekData)
		if !ok {
			return visit(at, size, false)
		}
		if data > at {
			if err := visit(at, data, true); err != nil {
				return err
			}
		}
		end, ok := seek(data, seekHole)
		if !ok || end == data {
			end = size
		}
		if end > data {
			if err := visit(data, end, false); err != nil {
				return err
			}
		}
		at = end
	}
	return nil
}

// reader stops reading a long file when its context has ended.
type reader struct {
	ended func() error
	io.Reader
}

// Read reads unless the context has ended.
func (r reader) Read(p []byte) (int, error) {
	if err := r.ended(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
