package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap/zaptest"
)

// Whoever knows the name of an image gets it, with its length; one that cannot
// be read to its end is cut off; who guesses finds nothing, and where nothing is
// offered there is not even the path.
func TestImageFiles(t *testing.T) {
	cfg := Config{Gatherer: prometheus.NewRegistry(), Log: zaptest.NewLogger(t)}
	get := func(path string) (int, string, error) {
		t.Helper()
		server := httptest.NewServer(New(cfg))
		defer server.Close()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }() // it was only read
		text, err := io.ReadAll(answer.Body)
		return answer.StatusCode, string(text), err
	}
	if status, _, _ := get("/image-files/secret"); status != http.StatusNotFound {
		t.Errorf("nothing is offered: %d", status)
	}
	cfg.Image = func(_ context.Context, name string) (io.ReadCloser, int64, error) {
		switch name {
		case "secret":
			return io.NopCloser(strings.NewReader("image")), 5, nil
		case "short":
			return io.NopCloser(strings.NewReader("ima")), 5, nil
		}
		return nil, 0, os.ErrNotExist
	}
	if status, text, err := get("/image-files/secret"); status != http.StatusOK || text != "image" || err != nil {
		t.Errorf("%d, %q, %v", status, text, err)
	}
	if _, text, err := get("/image-files/short"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("less than was promised: %q, %v", text, err)
	}
	for _, path := range []string{"/image-files/guess", "/image-files/", "/image-files"} {
		if status, text, _ := get(path); status != http.StatusNotFound || strings.Contains(text, "exist") {
			t.Errorf("%s: %d, %q", path, status, text)
		}
	}
}
