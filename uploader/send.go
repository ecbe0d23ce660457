package uploader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"poold/cloud"
	"poold/pool"
)

const (
	// lookAtSending is how often what was sent is looked at. It is written only
	// when that is another hundredth of the file, or after progressMax: a large
	// image in many clouds must not keep etcd busy.
	lookAtSending = 5 * time.Second
	progressMax   = 30 * time.Second
	// stalledAfter is how long a connection may take nothing while there is
	// something to send.
	stalledAfter = 5 * time.Minute
)

// errStalled ends a send to somebody who takes nothing.
var errStalled = fmt.Errorf("the cloud took no data for %s", stalledAfter)

// send sends the file by a call, once. Whether it arrived is for the next look
// to say; an error is returned if the data was refused.
func (t *transfer) send(ctx context.Context, call func(ctx context.Context, id string, data io.Reader, size int64) error) error {
	file, err := t.open()
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it was only read
	id, size := t.record.ExternalID, t.artifact().Bytes
	at := func() int64 { return position(file) }
	err = t.watched(ctx, at, func(ctx context.Context) error {
		return call(ctx, id, t.limits.slow(ctx, file), size)
	})
	t.arrived = err == nil
	t.sent = err == nil || at() > 0 || errors.Is(err, cloud.Ambiguous)
	if err != nil && 0 < at() && at() < size {
		// However the call is answered: the cloud cannot have all of it.
		return fmt.Errorf("send the data: ended after %d of %d bytes: %v", at(), size, err) //nolint:errorlint // see refused
	}
	return t.refused(err)
}

// refused is the error of data that went over the wire and was refused: the
// next try is a new upload, after its back-off.
func (t *transfer) refused(err error) error {
	if err != nil && t.sent && !errors.Is(err, cloud.Ambiguous) {
		return fmt.Errorf("send the data: %v", err) //nolint:errorlint // its kind must not make it worth another try
	}
	return err
}

// open opens the file of the upload, which must be what its build says.
func (t *transfer) open() (*os.File, error) {
	if t.build.Builder != t.peer {
		return nil, fmt.Errorf("the file is with peer %s", t.build.Builder)
	}
	file, err := os.Open(t.artifact().Path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() != t.artifact().Bytes {
		err = fmt.Errorf("the file has %d bytes, its build says %d", info.Size(), t.artifact().Bytes)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// position is how much of a file was read, or sent by the kernel, which moves
// it as well. It may be asked while somebody reads.
func position(file *os.File) int64 {
	n, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0
	}
	return n
}

// watched runs a send while its progress is written. The send is cancelled if
// nothing moves, or the record turns out to have been moved by somebody else.
func (t *transfer) watched(ctx context.Context, at func() int64, send func(context.Context) error) error {
	sending, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	writing, stop := context.WithCancel(sending)
	written := make(chan error, 1)
	p := &pace{metrics: t.metrics.of(t.provider.Name), size: t.artifact().Bytes, sent: at()}
	p.metrics.unsent.Add(float64(p.size - p.sent))
	go func() {
		err := t.follow(writing, at, p)
		if err != nil && writing.Err() == nil {
			cancel(err)
		} else {
			err = nil
		}
		written <- err
	}()
	err := send(sending)
	stop()
	// The record belongs to this goroutine again only now.
	ended := <-written
	p.over(at())
	if ended != nil {
		return ended
	}
	return err
}

// follow writes how much was sent, until ctx ends, the record is lost or
// nothing moves any more.
func (t *transfer) follow(ctx context.Context, at func() int64, p *pace) error {
	tick := time.NewTicker(lookAtSending)
	defer tick.Stop()
	for {
		var now time.Time
		select {
		case <-ctx.Done():
			return nil
		case now = <-tick.C:
		}
		p.note(now, at())
		if p.stalled(now) {
			return errStalled
		}
		if !p.worth(now, t.record.SentBytes) {
			continue
		}
		after := *t.record
		after.SentBytes, after.BytesPerSecond, after.Expected = p.sent, int64(p.perSecond), p.expected(now)
		err := t.save(ctx, &after)
		if errors.Is(err, errOvertaken) || errors.Is(err, pool.ErrNotOwner) {
			return err
		}
		p.written = now
	}
}

// pace is how fast the data of one send goes. It belongs to one goroutine.
type pace struct {
	metrics sending
	size    int64
	sent    int64
	// perSecond is an average in which what is longer ago counts less.
	perSecond float64
	// at is when it was last looked at, moved when more had been sent than
	// before, written when that was last on record.
	at, moved, written time.Time
}

// note takes in how much was sent by now.
func (p *pace) note(now time.Time, sent int64) {
	elapsed := lookAtSending
	if !p.at.IsZero() {
		elapsed = now.Sub(p.at)
	}
	fresh := float64(sent-p.sent) / max(elapsed.Seconds(), time.Millisecond.Seconds())
	was := p.perSecond
	if p.at.IsZero() {
		p.perSecond = fresh
	} else {
		p.perSecond += (fresh - p.perSecond) / 4
	}
	if p.moved.IsZero() || sent > p.sent {
		p.moved = now
	}
	p.count(sent)
	p.metrics.rate.Add(p.perSecond - was)
	p.at = now
}

// count adds what was sent since the last time to the metrics.
func (p *pace) count(sent int64) {
	if more := float64(sent - p.sent); more > 0 {
		p.metrics.bytes.Add(more)
		p.metrics.unsent.Sub(more)
	}
	p.sent = max(p.sent, sent)
}

// over takes in how much was sent in the end.
func (p *pace) over(sent int64) {
	p.count(sent)
	p.metrics.unsent.Sub(float64(p.size - p.sent))
	p.metrics.rate.Sub(p.perSecond)
}

// worth tells whether what was sent is worth a write, beside what is on record.
func (p *pace) worth(now time.Time, recorded int64) bool {
	more := p.sent - recorded
	return more > 0 && (more >= p.size/100 || now.Sub(p.written) >= progressMax)
}

// stalled tells whether the other side takes nothing. Before the first byte the
// call may be waiting for its turn, after the last one for its answer.
func (p *pace) stalled(now time.Time) bool {
	return p.sent > 0 && p.sent < p.size && now.Sub(p.moved) >= stalledAfter
}

// expected is when all will have been sent; nil if nothing moves.
func (p *pace) expected(now time.Time) *time.Time {
	if p.perSecond < 1 {
		return nil
	}
	left := time.Duration(float64(p.size-p.sent) / p.perSecond * float64(time.Second))
	at := now.Add(left).UTC().Truncate(time.Second)
	return &at
}
