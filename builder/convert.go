package builder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"

	"golang.org/x/sync/errgroup"

	"poold/pool"
)

// parallelFormats is how many formats of a build are converted and hashed at
// once.
const parallelFormats = 3

// codec is a format that qemu-img reads and writes.
type codec struct {
	// format is its name in the configuration and in clouds; driver is what
	// qemu-img calls it.
	format, driver string
	// options are those of a conversion to it.
	options []string
}

// codecs returns the formats that can be converted, best source first.
func codecs() []codec {
	return []codec{
		{"raw", "raw", nil},
		// What diskimage-builder makes of it: compressed, and readable by all.
		{"qcow2", "qcow2", []string{"-c", "-o", "compat=0.10"}},
		// Without force_size it grows to what the geometry of 1990 can say.
		{"vhd", "vpc", []string{"-o", "force_size=on"}},
		{"vmdk", "vmdk", []string{"-o", "subformat=streamOptimized"}},
		{"vdi", "vdi", nil},
		{"vhdx", "vhdx", nil},
	}
}

func codecOf(format string) (codec, bool) {
	all := codecs()
	i := slices.IndexFunc(all, func(c codec) bool { return c.format == format })
	if i < 0 {
		return codec{}, false
	}
	return all[i], true
}

// commandFormats returns the formats that the command is asked for: all that
// the image has, as nodepool does, but what diskimage-builder is known not to
// manage. Those are converted from another.
//
// It makes vhd only with a vhd-util that few systems have, and hands the option
// that qcow2 needs to every format of qemu-img's, which refuses it.
func commandFormats(image *pool.Image) []string {
	isDIB := slices.ContainsFunc(image.Command, func(arg string) bool { return filepath.Base(arg) == "disk-image-create" })
	if !isDIB {
		return image.Formats
	}
	_, err := exec.LookPath("vhd-util")
	ask := slices.DeleteFunc(slices.Clone(image.Formats), func(format string) bool {
		switch format {
		case "vhd":
			return err != nil
		case "vmdk", "vdi", "vhdx":
			return true
		}
		return false
	})
	if len(ask) < len(image.Formats) && !slices.Contains(ask, "raw") && !slices.Contains(ask, "qcow2") {
		ask = append(ask, "raw")
	}
	return ask
}

// complete brings a build from what its command made to all formats that the
// image wants, measured. A format that the command left out is converted from
// one that it made.
func (b *Builder) complete(ctx context.Context, build string, log *os.File) ([]pool.Artifact, error) {
	out := filepath.Join(b.dirs.Images, base(b.image.Name, build))
	source := sourceOf(out)
	artifacts := make([]pool.Artifact, len(b.image.Formats))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelFormats)
	for i, format := range b.image.Formats {
		g.Go(func() error {
			if err := b.convert(ctx, build, source, format, log); err != nil {
				return fmt.Errorf("format %s: %w", format, err)
			}
			var err error
			if artifacts[i], err = measureFile(ctx, out+"."+format); err != nil {
				return fmt.Errorf("format %s: %w", format, err)
			}
			artifacts[i].Format = format
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if source != "" && !slices.Contains(b.image.Formats, source) {
		return artifacts, os.Remove(out + "." + source)
	}
	return artifacts, nil
}

// sourceOf returns the format to convert others from, "" if there is none.
func sourceOf(out string) string {
	for _, c := range codecs() {
		if info, err := os.Stat(out + "." + c.format); err == nil && info.Mode().IsRegular() {
			return c.format
		}
	}
	return ""
}

// convert makes a format of a build, unless it is there.
func (b *Builder) convert(ctx context.Context, build, source, format string, log *os.File) error {
	out := filepath.Join(b.dirs.Images, base(b.image.Name, build))
	if _, err := os.Stat(out + "." + format); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	to, known := codecOf(format)
	from, found := codecOf(source)
	if !known || !found {
		return errors.New("the build did not make it, and there is nothing to convert it from")
	}
	half := out + "." + format + ".part"
	argv := append([]string{"qemu-img", "convert", "-f", from.driver, "-O", to.driver}, to.options...)
	if err := b.tool(ctx, build, log, log, append(argv, out+"."+source, half)...); err != nil {
		return fmt.Errorf("convert it from %s: %w", source, err)
	}
	return os.Rename(half, out+"."+format)
}

// tool runs a program of poold's own choice to its end. It dies with poold.
func (b *Builder) tool(ctx context.Context, build string, out, log *os.File, argv ...string) error {
	runtime.LockOSThread() // as for the command
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // none of it comes from elsewhere
	cmd.Env = append(os.Environ(), marker+base(b.image.Name, build))
	cmd.Stdout, cmd.Stderr = out, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	return nil
}
