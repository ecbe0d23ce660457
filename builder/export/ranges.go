package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"poold/internal/sleep"
)

const (
	// segment is how much of an image one call asks for.
	segment = 64 << 20
	// parallel is how many calls are under way.
	parallel = 4
	// stall is how long a cloud may be silent.
	stall = time.Minute
)

// errNoRanges says that the cloud sends all of an image or nothing.
var errNoRanges = errors.New("the cloud sends no parts of images")

// state is what is kept beside a file that is not complete.
type state struct {
	ID    string `json:"id"`
	Bytes int64  `json:"bytes"`
	// Done are the segments that are on the disk, in any order.
	Done []int64 `json:"done,omitempty"`
}

// download brings the data of an image to a file.
type download struct {
	driver Driver
	path   string
	log    io.Writer
	// segment is how much one call asks for, delay how long the second try
	// waits.
	segment int64
	delay   time.Duration

	// mu guards state, and the use of log.
	mu    sync.Mutex
	state state
}

func (d *download) notePath() string { return d.path + ".json" }

// run brings what is missing.
func (d *download) run(ctx context.Context) error {
	file, err := d.open()
	if err != nil {
		return err
	}
	err = d.fill(ctx, file)
	if errors.Is(err, errNoRanges) {
		d.tell("%v: one stream", err)
		err = d.stubborn(ctx, func() error { return d.part(ctx, file, 0, d.state.Bytes) })
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return errors.Join(err, file.Close())
}

// tell writes into the log, which is a help and no more.
func (d *download) tell(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, _ = fmt.Fprintf(d.log, "poold: "+format+"\n", args...)
}

// open opens the file, with what is there of the same image already.
func (d *download) open() (*os.File, error) {
	var before state
	data, err := os.ReadFile(d.notePath())
	if err == nil {
		err = json.Unmarshal(data, &before)
	}
	info, statErr := os.Stat(d.path)
	if err == nil && statErr == nil && info.Size() == d.state.Bytes && before.ID == d.state.ID && before.Bytes == d.state.Bytes {
		d.state.Done = before.Done
		d.tell("going on after %d segments", len(before.Done))
	} else if err := d.discard(); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(d.path, os.O_RDWR|os.O_CREATE, 0o644) //nolint:gosec // as the builds are
	if err != nil {
		return nil, err
	}
	return file, file.Truncate(d.state.Bytes)
}

// fill reads the segments that are missing, several at once.
func (d *download) fill(ctx context.Context, file *os.File) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	have := slices.Clone(d.state.Done)
	for from := int64(0); from < d.state.Bytes; from += d.segment {
		if slices.Contains(have, from/d.segment) {
			continue
		}
		g.Go(func() error {
			to := min(from+d.segment, d.state.Bytes)
			if err := d.stubborn(ctx, func() error { return d.part(ctx, file, from, to) }); err != nil {
				return err
			}
			return d.done(file, from/d.segment)
		})
	}
	return g.Wait()
}

// stubborn repeats what may be better the next time, until ctx ends.
func (d *download) stubborn(ctx context.Context, try func() error) error {
	for delay := d.delay; ; delay = min(2*delay, lookMax) {
		err := try()
		if err == nil || ctx.Err() != nil || !passing(err) && !errors.Is(err, errCut) {
			return err
		}
		d.tell("read again: %v", err)
		if err := sleep.For(ctx, max(delay, after(err))); err != nil {
			return err
		}
	}
}

// errCut says that data ended early.
var errCut = errors.New("the data was cut")

// part reads from one offset to another.
func (d *download) part(ctx context.Context, file *os.File, from, to int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silent := time.AfterFunc(stall, cancel)
	defer silent.Stop()
	data, begins, err := d.driver.ReadImage(ctx, d.state.ID, from, to)
	if err != nil {
		return err
	}
	defer data.Close() //nolint:errcheck // it was only read
	if begins != from {
		return errNoRanges
	}
	out := io.NewOffsetWriter(file, from)
	n, err := io.Copy(alive{out, silent}, io.LimitReader(data, to-from))
	if err == nil && n < to-from {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("%w after %d of %d bytes: %w", errCut, n, to-from, err)
	}
	return nil
}

// alive puts the end of patience off with each piece of data.
type alive struct {
	io.Writer

	silent *time.Timer
}

// Write writes.
func (a alive) Write(p []byte) (int, error) {
	a.silent.Reset(stall)
	return a.Writer.Write(p)
}

// done notes a segment that is on the disk.
func (d *download) done(file *os.File, number int64) error {
	if err := file.Sync(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state.Done = append(d.state.Done, number)
	data, err := json.Marshal(d.state)
	if err != nil {
		return err
	}
	half := d.notePath() + ".part"
	if err := os.WriteFile(half, data, 0o600); err != nil {
		return err
	}
	return os.Rename(half, d.notePath())
}

// discard removes the file and what is known of it.
func (d *download) discard() error {
	d.state.Done = nil
	return errors.Join(remove(d.path), d.forget())
}

// forget removes the note about a file that is complete.
func (d *download) forget() error { return remove(d.notePath()) }

func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
