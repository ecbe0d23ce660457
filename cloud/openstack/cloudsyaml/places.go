package cloudsyaml

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Places is where to look: the environment, and the folders with files.
type Places struct {
	// Environ has entries of the form KEY=VALUE.
	Environ []string
	// Dirs are looked through in this order; the first file found is taken.
	Dirs []string
}

// Usual are the environment of the process and the folders that openstacksdk
// looks through.
func Usual() Places {
	p := Places{Environ: os.Environ(), Dirs: []string{"."}}
	home := p.env("SNAP_REAL_HOME")
	if home == "" {
		home = p.env("HOME")
	}
	if dir := p.env("XDG_CONFIG_HOME"); dir != "" {
		p.Dirs = append(p.Dirs, filepath.Join(dir, "openstack"))
	}
	if home != "" {
		p.Dirs = append(p.Dirs, filepath.Join(home, ".config", "openstack"))
	}
	site := p.env("XDG_CONFIG_DIRS")
	if site == "" {
		site = "/etc/xdg"
	}
	for _, dir := range filepath.SplitList(site) {
		p.Dirs = append(p.Dirs, filepath.Join(dir, "openstack"))
	}
	p.Dirs = append(p.Dirs, "/etc/openstack")
	return p
}

// env returns a variable of the environment, or "".
func (p *Places) env(key string) string {
	for _, e := range slices.Backward(p.Environ) {
		if k, v, _ := strings.Cut(e, "="); k == key {
			return v
		}
	}
	return ""
}

// The kinds of files, by the variable that names one and the usual name.
const (
	configVar, configName = "OS_CLIENT_CONFIG_FILE", "clouds"
	secureVar, secureName = "OS_CLIENT_SECURE_FILE", "secure"
	vendorVar, vendorName = "OS_CLIENT_VENDOR_FILE", "clouds-public"
)

// candidates lists where a kind of file may be, in order.
func (p *Places) candidates(variable, name string) []string {
	var paths []string
	for _, dir := range p.Dirs {
		for _, suffix := range []string{".yaml", ".yml", ".json"} {
			paths = append(paths, filepath.Join(dir, name+suffix))
		}
	}
	if path := p.env(configVar); path != "" && name == secureName {
		// Beside the file that is named is where people put it.
		paths = append(paths, filepath.Join(filepath.Dir(path), "secure.yaml"))
	}
	if path := p.env(variable); path != "" {
		paths = slices.Insert(paths, 0, path)
	}
	return paths
}

// file is one that was found, with its text. Without a path it was not.
type file struct {
	path string
	text []byte
}

// files are those of each kind.
type files struct {
	config, secure, vendor file
	// denied are files with clouds that are there and may not be read.
	denied []string
}

// find reads the files.
func (p *Places) find() (*files, error) {
	f := &files{}
	for _, kind := range []struct {
		into           *file
		variable, name string
	}{{&f.config, configVar, configName}, {&f.secure, secureVar, secureName}, {&f.vendor, vendorVar, vendorName}} {
		found, denied, err := p.findOne(kind.variable, kind.name)
		if err != nil {
			return nil, err
		}
		*kind.into = found
		if kind.variable == configVar {
			f.denied = denied
		}
	}
	return f, nil
}

// findOne reads the first file of a kind that is there and may be read. A file
// that the environment names must be there; others need not.
func (p *Places) findOne(variable, name string) (found file, denied []string, err error) {
	named := p.env(variable)
	for _, path := range p.candidates(variable, name) {
		text, err := os.ReadFile(path)
		switch {
		case err == nil:
			return file{path, text}, denied, nil
		case path == named:
			return file{}, nil, problemf(Place{File: variable}, "%s cannot be read: %s", path, reason(err))
		case errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, fs.ErrPermission):
			denied = append(denied, path)
		default:
			return file{}, nil, problemf(Place{File: path}, "it cannot be read: %s", reason(err))
		}
	}
	return file{}, denied, nil
}

// reason is why a file cannot be read, without its name.
func reason(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err.Error()
	}
	return err.Error()
}

// Print is the fingerprint of what a reading depends on: two that are equal
// give the same cloud. More are files that the cloud names.
func (p *Places) Print(more ...string) [sha256.Size]byte {
	h := sha256.New()
	paths := slices.Concat(
		p.candidates(configVar, configName), p.candidates(secureVar, secureName), p.candidates(vendorVar, vendorName), more)
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		sum := sha256.Sum256(b)
		h.Write([]byte(path + "\x00"))
		h.Write(sum[:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}
