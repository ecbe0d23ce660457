package builder

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"poold/builder/export"
	"poold/builder/fetch"
	"poold/pool"
)

// checkTime bounds how long a server is asked whether it has another file.
const checkTime = 30 * time.Second

// downloadPath is where the file of an image is collected. It belongs to the
// image and not to a build, so that the next build goes on with it.
func downloadPath(dirs Dirs, image string) string {
	return filepath.Join(dirs.Images, image+".download")
}

// download makes a build of the file at the image's URL.
func (b *Builder) download(ctx context.Context, build string, log *os.File) (*pool.Origin, error) {
	file := downloadPath(b.dirs, b.image.Name)
	from, err := b.fetch.Fetch(ctx, fetch.Source{URL: b.image.URL, Checksum: b.image.Checksum}, file, log)
	if err != nil {
		return nil, fmt.Errorf("download: %w", err)
	}
	u, err := url.Parse(b.image.URL)
	if err != nil {
		return nil, err
	}
	if err := b.adopt(ctx, build, file, path.Base(u.Path), log); err != nil {
		// It will not be another by being looked at again.
		return nil, errors.Join(fmt.Errorf("download: %w", err), os.Remove(file))
	}
	return &pool.Origin{
		URL: from.URL, ETag: from.ETag, LastModified: from.LastModified, Checksum: from.Checksum,
	}, nil
}

// takeOut makes a build of an image or a server in a cloud.
func (b *Builder) takeOut(ctx context.Context, r *pool.Build, log *os.File) (*pool.Origin, error) {
	file := downloadPath(b.dirs, b.image.Name)
	from, format, err := b.export.Export(ctx, export.Spec{Of: *b.image.SnapshotOf, Build: r}, file, log)
	if err != nil {
		return nil, fmt.Errorf("take it from %s: %w", b.image.SnapshotOf.Provider, err)
	}
	_, known := codecOf(format)
	if !known {
		err = fmt.Errorf("it has the format %q, of which nothing else can be made", format)
	}
	if err == nil {
		_, err = detect(file, "image."+format)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("take it from %s: %w", b.image.SnapshotOf.Provider, err), os.Remove(file))
	}
	return from, os.Rename(file, filepath.Join(b.dirs.Images, base(b.image.Name, r.ID)+"."+format))
}

// adopt makes a file from elsewhere a file of the build, in the format that it
// is found to have.
func (b *Builder) adopt(ctx context.Context, build, file, name string, log *os.File) error {
	start, _, err := head(file)
	if err != nil {
		return err
	}
	if program := packing(start); program != "" {
		plain := filepath.Join(b.dirs.Images, base(b.image.Name, build)+".unpacked")
		if err := b.unpack(ctx, build, program, file, plain, log); err != nil {
			return err
		}
		if err := os.Remove(file); err != nil {
			return err
		}
		file, name = plain, strings.TrimSuffix(name, path.Ext(name))
	}
	format, err := detect(file, name)
	if err != nil {
		return err
	}
	fmt.Fprintf(log, "poold: its format is %s\n", format) //nolint:errcheck // the log is a help, no more
	return os.Rename(file, filepath.Join(b.dirs.Images, base(b.image.Name, build)+"."+format))
}

// unpack runs a program that unpacks a file.
func (b *Builder) unpack(ctx context.Context, build, program, from, to string, log *os.File) error {
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if err := b.tool(ctx, build, out, log, program, "-dc", from); err != nil {
		return errors.Join(fmt.Errorf("unpack it with %s: %w", program, err), out.Close())
	}
	return out.Close()
}

// unchanged tells whether what a build was made of is still what there is. If
// nobody can tell, or there is no build, a new one finds out.
func (b *Builder) unchanged(ctx context.Context, ready *pool.Build) bool {
	if ready == nil || ready.Origin == nil {
		return false
	}
	o := ready.Origin
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	if b.image.SnapshotOf != nil {
		return b.export.Unchanged(ctx, *b.image.SnapshotOf, o)
	}
	changed, err := b.fetch.Changed(ctx, fetch.Source{URL: b.image.URL, Checksum: b.image.Checksum}, fetch.Origin{
		URL: o.URL, ETag: o.ETag, LastModified: o.LastModified, Checksum: o.Checksum,
	})
	return err == nil && !changed
}
