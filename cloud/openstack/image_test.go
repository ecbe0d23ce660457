package openstack

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"poold/cloud"
)

const anImage = "11111111-2222-4333-8444-555555555555"

// Data goes out once, whole, with its length; the kernel may send a file by
// itself, and nobody else closes it. A refusal, of the token or for the moment,
// never makes a second request, whose body would be empty.
func TestSendImage(t *testing.T) {
	data := bytes.Repeat([]byte("image "), 100_000)
	for _, c := range []struct {
		name   string
		status int
		reads  bool
		want   cloud.Kind
	}{
		{"taken", http.StatusNoContent, true, ""},
		{"the token is refused at once", http.StatusUnauthorized, false, cloud.Ambiguous},
		{"the token is refused at the end", http.StatusUnauthorized, true, cloud.Ambiguous},
		{"one call too many", http.StatusTooManyRequests, true, cloud.RateLimited},
		{"not now", http.StatusServiceUnavailable, true, cloud.Ambiguous},
	} {
		t.Run(c.name, func(t *testing.T) {
			requests, length := 0, int64(0)
			var got []byte
			newStub(t, "", func(w http.ResponseWriter, r *http.Request) {
				requests, length = requests+1, r.ContentLength
				if c.reads {
					got, _ = io.ReadAll(r.Body) // what is missing is seen below
				}
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(c.status)
			})
			d := open(t, "ours", cloud.Open{})
			path := filepath.Join(t.TempDir(), "image")
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			file, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			err = d.SendImage(t.Context(), anImage, file, int64(len(data)))
			wantKind(t, "send", err, c.want)
			if requests != 1 || length != int64(len(data)) || c.reads && !bytes.Equal(got, data) {
				t.Errorf("%d requests, length %d, %d bytes; want one of %d", requests, length, len(got), len(data))
			}
			if at, err := file.Seek(0, io.SeekCurrent); err != nil || c.reads && at != int64(len(data)) {
				t.Errorf("the file is at %d, %v", at, err)
			}
			if err := file.Close(); err != nil {
				t.Errorf("somebody closed the file: %v", err)
			}
		})
	}
	// What net looks for before it lets the kernel send.
	if _, ok := kept(&os.File{}).(syscall.Conn); !ok {
		t.Error("a file is not seen as one")
	}
}

// The hash of an image is the best that the cloud has.
func TestImageHash(t *testing.T) {
	for _, c := range []struct{ answer, algo, hash string }{
		{`{"id": "x", "checksum": "m", "os_hash_algo": "sha512", "os_hash_value": "s"}`, "sha512", "s"},
		{`{"id": "x", "checksum": "m", "os_hash_algo": null, "os_hash_value": null}`, "md5", "m"},
		{`{"id": "x", "checksum": null}`, "", ""},
	} {
		newStub(t, "", func(w http.ResponseWriter, _ *http.Request) { say(w, "%s", c.answer) })
		i, err := open(t, "ours", cloud.Open{}).Image(t.Context(), anImage)
		if err != nil || i.HashAlgo != c.algo || i.Hash != c.hash {
			t.Errorf("%s: %+v, %v", c.answer, i, err)
		}
	}
}
