package builder

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"poold/pool"
)

// Dirs is where builders read and write. All paths are absolute.
type Dirs struct {
	// Images takes the artifacts, and a temporary directory per build.
	Images string
	// Elements is passed to the command as ELEMENTS_PATH.
	Elements string
	// Logs takes one log per build, of which the newest LogRetention of each
	// image are kept; less than zero keeps all.
	Logs         string
	LogRetention int
}

// base is the common name of the files of a build.
func base(image, build string) string { return image + "-" + build }

// tempDir is the directory in which the command of a build works: below the
// TMP_DIR of the recipe if it has one.
func tempDir(dirs Dirs, image *pool.Image, build string) string {
	return filepath.Join(cmp.Or(image.Env["TMP_DIR"], dirs.Images), base(image.Name, build)+".tmp")
}

// files maps the builds of an image that have files in dir to those files. An
// id has a fixed length and no dash, so that an image whose name starts like
// another's is never taken for it.
func files(dir, image string) (map[string][]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	ours := regexp.MustCompile("^" + regexp.QuoteMeta(image) + `-([0-9a-hjkmnp-tv-z]{12})\.`)
	found := make(map[string][]string)
	for _, e := range entries {
		if m := ours.FindStringSubmatch(e.Name()); m != nil {
			found[m[1]] = append(found[m[1]], filepath.Join(dir, e.Name()))
		}
	}
	return found, nil
}

// leftovers maps the builds of an image to everything of theirs on the disk
// but their logs.
func leftovers(dirs Dirs, image *pool.Image) (map[string][]string, error) {
	found, err := files(dirs.Images, image.Name)
	other := image.Env["TMP_DIR"]
	if err != nil || other == "" {
		return found, err
	}
	// Somebody else's directory: only what was made there is ours.
	temps, err := files(other, image.Name)
	for build, paths := range temps {
		if own := tempDir(dirs, image, build); slices.Contains(paths, own) {
			found[build] = append(found[build], own)
		}
	}
	return found, err
}

// discard ends what is left of a build on this machine, in the order in which
// one thing holds the next: processes, mounts, loop devices, and then the files
// at paths.
func discard(dirs Dirs, image *pool.Image, build string, paths []string) error {
	errs := []error{killCgroup(cgroupPath(base(image.Name, build))), reap(image.Name, build)}
	var free []string
	for _, path := range paths {
		if err := unmountBelow(path); err != nil {
			errs = append(errs, err)
			continue
		}
		free = append(free, path)
	}
	errs = append(errs, detachLoops(filesOf(dirs, image, build)))
	for _, path := range free {
		errs = append(errs, os.RemoveAll(path))
	}
	return errors.Join(errs...)
}

// filesOf tells whether a file is a build's, by its full name.
func filesOf(dirs Dirs, image *pool.Image, build string) func(file string) bool {
	out, temp := resolved(dirs.Images), tempDir(dirs, image, build)
	out, temp = filepath.Join(out, base(image.Name, build)+"."), filepath.Join(resolved(filepath.Dir(temp)), filepath.Base(temp)+"/")
	return func(file string) bool { return strings.HasPrefix(file, out) || strings.HasPrefix(file, temp) }
}

// resolved resolves the links in the name of a directory, as the kernel does.
func resolved(dir string) string {
	if path, err := filepath.EvalSymlinks(dir); err == nil {
		return path
	}
	return dir
}

// unmountBelow unmounts what is mounted at or below a path. An image's build
// mounts /dev and /proc below its temporary directory; if it was killed they
// may still be there, and removing through them would remove the machine's own.
// After an error nothing may be removed.
func unmountBelow(path string) error {
	mounts, err := mountsBelow(path)
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if err := syscall.Unmount(m, syscall.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s before removing %s: %w", m, path, err)
		}
	}
	if mounts, err = mountsBelow(path); err != nil {
		return err
	}
	if len(mounts) > 0 {
		return fmt.Errorf("remove %s: %s is still mounted", path, mounts[0])
	}
	return nil
}

// mountsBelow lists what is mounted at or below path, innermost first.
func mountsBelow(path string) ([]string, error) {
	target, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	table, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer table.Close() //nolint:errcheck // it was only read
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var mounts []string
	for lines := bufio.NewScanner(table); ; {
		if !lines.Scan() {
			slices.Reverse(mounts)
			return mounts, lines.Err()
		}
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 {
			continue
		}
		if at := unescape.Replace(fields[4]); at == target || strings.HasPrefix(at, target+"/") {
			mounts = append(mounts, at)
		}
	}
}

// pruneLogs removes all but the newest logs of an image, unless all are kept.
func pruneLogs(dirs Dirs, image string) error {
	if dirs.LogRetention < 0 {
		return nil
	}
	found, err := files(dirs.Logs, image)
	if err != nil {
		return err
	}
	type logFile struct {
		path string
		info fs.FileInfo
	}
	var logs []logFile
	for build := range found {
		path := logPath(dirs, image, build)
		if info, err := os.Stat(path); err == nil {
			logs = append(logs, logFile{path, info})
		}
	}
	slices.SortFunc(logs, func(a, b logFile) int {
		return cmp.Or(b.info.ModTime().Compare(a.info.ModTime()), cmp.Compare(b.path, a.path))
	})
	var errs []error
	for _, l := range logs[min(len(logs), max(dirs.LogRetention, 1)):] {
		errs = append(errs, os.Remove(l.path))
	}
	return errors.Join(errs...)
}

func logPath(dirs Dirs, image, build string) string {
	return filepath.Join(dirs.Logs, base(image, build)+".log")
}
