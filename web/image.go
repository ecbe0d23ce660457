package web

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"
)

// A cloud that takes less than imagePart bytes in imageTime takes nothing.
const (
	imagePart = 8 << 20
	imageTime = 5 * time.Minute
)

// image sends a file to the cloud that knows its name. Whoever does not know
// it learns nothing, not even whether there is any.
func (s *Server) image(w http.ResponseWriter, r *http.Request) {
	file, size, err := s.Image(r.Context(), r.PathValue("name"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer func() { _ = file.Close() }() // it was only read
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	if r.Method == http.MethodHead {
		return
	}
	control := http.NewResponseController(w)
	for err == nil {
		_ = control.SetWriteDeadline(time.Now().Add(imageTime)) // a writer without is one of a test
		_, err = io.CopyN(w, file, imagePart)
	}
	if !errors.Is(err, io.EOF) {
		// Less came than was promised, and the connection ends: the cloud notices.
		s.Log.Debug("image not delivered", zap.Error(err))
	}
}
