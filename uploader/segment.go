package uploader

import (
	"context"
	"crypto/md5" //nolint:gosec // an object store's hash is an MD5
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"poold/cloud"
)

const (
	// segmentBytes is the size of a segment, if the store does not need others.
	// It is what is sent again at most if a connection breaks.
	segmentBytes = 128 << 20
	// segmentsAtOnce is how many segments of an upload are sent at a time.
	segmentsAtOnce = 4
	// emptyRounds is how often in a row sending may end without one segment more.
	emptyRounds = 3
)

// objects are where an upload's file goes in an object store.
type objects struct {
	store     cloud.ObjectStore
	container string
	// rounds counts how often sending ended without a segment more, in a row.
	rounds int
	// sums are the MD5s of the file's segments, as far as they are known.
	sums map[string]string
}

// objectName is what the object of an upload is called; its segments are in the
// folder of that name. It is the same for each attempt, so that the next one
// goes on where the last one ended.
func objectName(image, build, format string) string { return image + "-" + build + "." + format }

// segment is a part of a file.
type segment struct {
	cloud.StoredObject

	at int64
}

// segments cuts a file into parts that a store takes.
func segments(name string, size int64, means cloud.ObjectMeans) ([]segment, error) {
	most := int64(max(means.MaxSegments, 1))
	each := min(max(segmentBytes, (size+most-1)/most), max(means.MaxBytes, 1))
	if (size+each-1)/each > most {
		return nil, fmt.Errorf("the object store takes %d segments of %d bytes, the file has %d", most, means.MaxBytes, size)
	}
	var all []segment
	for at := int64(0); at < size; at += each {
		all = append(all, segment{at: at, StoredObject: cloud.StoredObject{
			// Segments of another size are other segments.
			Name: fmt.Sprintf("%s/%d-%d/%08d", name, size, each, len(all)), Bytes: min(each, size-at),
		}})
	}
	return all, nil
}

// deliver brings the file to the object store: its segments, as far as they are
// not there, and what joins them. It may be repeated.
func (t *transfer) deliver(ctx context.Context) error {
	a := t.artifact()
	means, err := t.objects.store.ObjectMeans(ctx)
	if err != nil {
		return err
	}
	name := objectName(t.record.Image, t.record.Build, a.Format)
	parts, err := segments(name, a.Bytes, means)
	if err != nil {
		return err
	}
	file, err := t.open()
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it was only read
	if err := t.objects.store.MakeContainer(ctx, t.objects.container); err != nil {
		return err
	}
	missing, err := t.missing(ctx, file, name, parts)
	if err != nil {
		return err
	}
	if err := t.sendSegments(ctx, file, missing, a.Bytes); err != nil {
		return err
	}
	var all []cloud.StoredObject
	for i := range parts {
		parts[i].MD5 = t.objects.sums[parts[i].Name]
		all = append(all, parts[i].StoredObject)
	}
	return t.objects.store.JoinObjects(ctx, t.objects.container, name, all)
}

// missing returns the segments that the store does not have as the file has
// them.
func (t *transfer) missing(ctx context.Context, file *os.File, name string, parts []segment) ([]segment, error) {
	listed, err := t.objects.store.Objects(ctx, t.objects.container, name+"/")
	if err != nil {
		return nil, err
	}
	there := map[string]cloud.StoredObject{}
	for _, o := range listed {
		there[o.Name] = o
	}
	var missing []segment
	for _, p := range parts {
		o, ok := there[p.Name]
		if !ok || o.Bytes != p.Bytes {
			missing = append(missing, p)
			continue
		}
		sum, err := t.sum(ctx, file, p)
		if err != nil {
			return nil, err
		}
		if o.MD5 != sum {
			missing = append(missing, p)
		}
	}
	return missing, nil
}

// sum is the MD5 of a segment of the file.
func (t *transfer) sum(ctx context.Context, file *os.File, p segment) (string, error) {
	if sum := t.objects.sums[p.Name]; sum != "" {
		return sum, nil
	}
	h := md5.New() //nolint:gosec // see the import
	section := io.NewSectionReader(file, p.at, p.Bytes)
	_, err := io.Copy(h, reading(func(b []byte) (int, error) {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		return section.Read(b)
	}))
	sum := hex.EncodeToString(h.Sum(nil))
	t.objects.sums[p.Name] = sum
	return sum, err
}

// sendSegments sends segments, some at a time, while its progress is written.
// What arrived stays, also if others did not.
func (t *transfer) sendSegments(ctx context.Context, file *os.File, missing []segment, size int64) error {
	var there, arrived atomic.Int64
	there.Store(size)
	for _, p := range missing {
		there.Add(-p.Bytes)
	}
	sums := make([]string, len(missing))
	err := t.watched(ctx, there.Load, func(ctx context.Context) error {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(segmentsAtOnce)
		for i, p := range missing {
			g.Go(func() error {
				sum, err := t.sendSegment(ctx, file, p, &there)
				if err == nil {
					sums[i] = sum
					arrived.Add(1)
				}
				return err
			})
		}
		return g.Wait()
	})
	for i, p := range missing {
		if sums[i] != "" {
			t.objects.sums[p.Name] = sums[i]
		}
	}
	if t.objects.rounds++; arrived.Load() > 0 {
		t.objects.rounds = 0
	}
	if err != nil && t.objects.rounds >= emptyRounds {
		return fmt.Errorf("send the data: %v", err) //nolint:errorlint // its kind must not make it worth another try
	}
	return err
}

// sendSegment sends one segment, and returns its MD5.
func (t *transfer) sendSegment(ctx context.Context, file *os.File, p segment, there *atomic.Int64) (string, error) {
	h := md5.New() //nolint:gosec // see the import
	section := io.NewSectionReader(file, p.at, p.Bytes)
	var read int64
	counted := reading(func(b []byte) (int, error) {
		n, err := section.Read(b)
		_, _ = h.Write(b[:n]) // it never fails
		read += int64(n)
		there.Add(int64(n))
		return n, err
	})
	got, err := t.objects.store.SendObject(ctx, t.objects.container, p.Name, t.limits.slow(ctx, counted), p.Bytes)
	switch sum := hex.EncodeToString(h.Sum(nil)); {
	case errors.Is(err, cloud.NotFound):
		// A sweep has removed the container meanwhile; it is made again.
		return "", &cloud.Error{Kind: cloud.Transient, Op: "send a segment", Err: err}
	case err != nil:
		return "", err
	case got != "" && got != sum:
		return "", fmt.Errorf("the MD5 of segment %s is %s in the object store, %s in the file", p.Name, got, sum)
	default:
		return sum, nil
	}
}
