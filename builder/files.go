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
	// image are kept.
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

// removeTree removes a file or a directory. An image's build mounts /dev and
// /proc below its temporary directory; if it was killed they are still there,
// and removing through them would remove the machine's own. So what is mounted
// is unmounted first, and if that fails nothing is removed.
func removeTree(path string) error {
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
	return os.RemoveAll(path)
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

// pruneLogs removes all but the newest logs of an image.
func pruneLogs(dirs Dirs, image string) error {
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
