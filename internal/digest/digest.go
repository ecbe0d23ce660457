// Package digest compares files with their checksums, whoever said what those
// are: the cloud that an image comes from, or the site that it is downloaded of.
package digest

import (
	"context"
	"crypto/md5" //nolint:gosec // what older clouds and sites have
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
)

// Verify compares a file with a checksum in hexadecimal. The algorithms are
// md5, sha256 and sha512; with any other name nothing is compared. It ends early
// with the cause of ctx.
func Verify(ctx context.Context, file, algorithm, want string) error {
	var h hash.Hash
	switch algorithm {
	case "md5":
		h = md5.New() //nolint:gosec // see the import
	case "sha256":
		h = sha256.New()
	case "sha512":
		h = sha512.New()
	default:
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	stop := context.AfterFunc(ctx, func() { _ = f.Close() })
	defer stop()
	_, err = io.Copy(h, f)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("the %s of what arrived is %s, not %s", algorithm, got, want)
	}
	return nil
}
