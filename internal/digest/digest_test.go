package digest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestVerify(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file, algorithm, want string
		fails                 string
	}{
		"md5":             {file, "md5", "900150983cd24fb0d6963f7d28e17f72", ""},
		"sha256":          {file, "sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", ""},
		"other data":      {file, "sha512", "ab", "the sha512 of what arrived is ddaf35a193617aba"},
		"other algorithm": {file, "crc32", "ab", ""},
		"no file":         {file + "2", "md5", "ab", "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Verify(t.Context(), c.file, c.algorithm, c.want)
			if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("got %v, want %q", err, c.fails)
			}
		})
	}
	gone, cancel := context.WithCancelCause(t.Context())
	why := errors.New("no longer wanted")
	cancel(why)
	if err := Verify(gone, file, "md5", "900150983cd24fb0d6963f7d28e17f72"); !errors.Is(err, why) {
		t.Errorf("got %v, want %v", err, why)
	}
}
