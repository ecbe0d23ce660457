package builder

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

const (
	// headBytes is how much of the start of a file tells what it is.
	headBytes = 64 << 10
	// sector is what the size of every raw disk is a multiple of.
	sector = 512
)

// packings returns how packed files begin, and what unpacks them.
func packings() map[string]string {
	return map[string]string{"\xfd7zXZ\x00": "xz", "\x1f\x8b": "gzip", "\x28\xb5\x2f\xfd": "zstd", "BZh": "bzip2"}
}

// head reads the start of a file.
func head(file string) (start []byte, size int64, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	start, err = io.ReadAll(io.LimitReader(f, headBytes))
	return start, info.Size(), err
}

// packing returns the program that unpacks a file, "" if it is not packed.
func packing(start []byte) string {
	for magic, program := range packings() {
		if bytes.HasPrefix(start, []byte(magic)) {
			return program
		}
	}
	return ""
}

// detect returns the format of a disk image from somebody else, by what it
// holds. It refuses what is none, what its name denies, and what would have
// qemu-img read other files of this machine.
func detect(file, name string) (string, error) {
	start, size, err := head(file)
	if err != nil {
		return "", err
	}
	format, err := formatOf(start, size)
	if err != nil {
		return "", err
	}
	said := strings.TrimPrefix(path.Ext(name), ".")
	if _, known := codecOf(said); known && said != format {
		return "", fmt.Errorf("%s is no %s image but %s", name, said, format)
	}
	return format, nil
}

func formatOf(start []byte, size int64) (string, error) {
	is := func(at int, magic string) bool { return len(start) > at && bytes.HasPrefix(start[at:], []byte(magic)) }
	switch {
	case is(0, "QFI\xfb"):
		return "qcow2", soleQcow2(start)
	case is(0, "KDMV"):
		return "vmdk", soleVMDK(start)
	case is(0, "conectix"):
		return "vhd", nil
	case is(0, "vhdxfile"):
		return "vhdx", nil
	case is(0x40, "\x7f\x10\xda\xbe"):
		return "vdi", nil
	case size == 0:
		return "", errors.New("the file is empty")
	case size%sector != 0 || bytes.HasPrefix(bytes.TrimSpace(start), []byte("<")):
		return "", errors.New("it is no disk image")
	}
	return "raw", nil
}

// soleQcow2 refuses an image that is not complete without another file.
func soleQcow2(start []byte) error {
	const (
		version, backing, features, headerV3 = 4, 8, 72, 104
		dataFile                             = 1 << 2
	)
	if len(start) < headerV3 {
		return errors.New("the qcow2 image is cut")
	}
	if binary.BigEndian.Uint64(start[backing:]) != 0 {
		return errors.New("the qcow2 image has a backing file")
	}
	if binary.BigEndian.Uint32(start[version:]) > 2 && binary.BigEndian.Uint64(start[features:])&dataFile != 0 {
		return errors.New("the qcow2 image has its data in another file")
	}
	return nil
}

// soleVMDK refuses an image that is not complete without another file.
func soleVMDK(start []byte) error {
	const descriptor = 28 // where the header says in which sector it is
	if len(start) < sector {
		return errors.New("the vmdk image is cut")
	}
	at := binary.LittleEndian.Uint64(start[descriptor:])
	if at == 0 || at > uint64(len(start))/sector {
		return errors.New("the vmdk image does not describe itself")
	}
	text := start[at*sector:]
	for _, kind := range []string{"monolithicSparse", "streamOptimized"} {
		if bytes.Contains(text, []byte(`createType="`+kind+`"`)) {
			return nil
		}
	}
	return errors.New("the vmdk image has its data in another file")
}
