package builder

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
	"time"

	"poold/pool"
)

const (
	// lookAtDisk is the time between two looks at how much room there is.
	lookAtDisk = 200 * time.Millisecond
	// spareMax and sparePart bound the room that builds leave to everybody
	// else, as etcd and logs are often on the same disk: a gigabyte, or a
	// twentieth of a small filesystem.
	spareMax  = 1 << 30
	sparePart = 20
)

// room is how many bytes builds may still write to the filesystem of a
// directory; below zero they are to stop.
func room(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("look how full %s is: %w", dir, err)
	}
	blocks, free := int64(s.Blocks), int64(s.Bavail) //nolint:gosec // no disk has that many
	return free*s.Bsize - min(spareMax, blocks*s.Bsize/sparePart), nil
}

// places are the directories that a build writes to.
func places(dirs Dirs, image *pool.Image, build string) []string {
	return slices.Compact([]string{dirs.Images, tempDir(dirs, image, build), dirs.Logs})
}

// enoughRoom refuses a build whose files would not find the room that those of
// the last one take.
func enoughRoom(dirs Dirs, need int64) error {
	left, err := room(dirs.Images)
	if err != nil {
		return err
	}
	if left < need || left < 0 {
		return fmt.Errorf("not enough room in %s: builds may write %s more, and the files of the last one take %s",
			dirs.Images, size(left), size(need))
	}
	return nil
}

// watchRoom ends the context that it returns, with the reason, before one of
// the places is full.
func watchRoom(ctx context.Context, places []string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		tick := time.NewTicker(lookAtDisk)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for _, dir := range places {
				// A directory that cannot be looked at is the command's to
				// complain of.
				if left, err := room(dir); err == nil && left < 0 {
					cancel(fmt.Errorf("stopped before the disk of %s was full", dir))
				}
			}
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}

// size writes a number of bytes for a human.
func size(bytes int64) string {
	const unit = 1024
	switch {
	case bytes < 0:
		return "nothing"
	case bytes < 10*unit*unit:
		return fmt.Sprintf("%d KiB", bytes/unit)
	}
	return fmt.Sprintf("%d MiB", bytes/unit/unit)
}

// diskUse is how much of the disk the files of a build take.
func diskUse(b *pool.Build) int64 {
	var sum int64
	if b == nil {
		return 0
	}
	for i := range b.Artifacts {
		sum += max(b.Artifacts[i].DiskBytes, 0)
	}
	return sum
}

// allocated is how much of the disk a file takes.
func allocated(info fs.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		const block = 512
		return s.Blocks * block
	}
	return info.Size()
}
