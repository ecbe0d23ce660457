package builder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// loopClear is the request (LOOP_CLR_FD) that detaches a loop device from its
// file; of one that is in use, as soon as it is not.
const loopClear = 0x4C01

// detachLoops detaches the loop devices whose files are a build's. The kernel
// keeps the space of a file that was removed for as long as a device has it.
func detachLoops(ours func(file string) bool) error {
	found, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range found {
		if !ours(backingFile(path)) {
			continue
		}
		device := "/dev/" + filepath.Base(filepath.Dir(filepath.Dir(path)))
		err := detach(device)
		if err == nil {
			err = eventually(func() error { return stillAttached(path, ours) })
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("detach %s: %w", device, err))
		}
	}
	return errors.Join(errs...)
}

// backingFile is the file of a loop device, "" if it has none. A file that was
// removed is still known by its name.
func backingFile(path string) string {
	name, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(name), "\n"), " (deleted)")
}

func detach(device string) error {
	f, err := os.Open(device)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	_, _, no := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), loopClear, 0)
	if no != 0 && !errors.Is(no, syscall.ENXIO) { // it has no file any more
		return no
	}
	return nil
}

func stillAttached(path string, ours func(file string) bool) error {
	if ours(backingFile(path)) {
		return fs.ErrExist
	}
	return nil
}
