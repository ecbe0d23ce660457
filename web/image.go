package web

import (
	"io"
	"net/http"
	"strconv"

	"go.uber.org/zap"
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
	if _, err := io.Copy(w, file); err != nil {
		// Less came than was promised, and the connection ends: the cloud notices.
		s.Log.Debug("image not delivered", zap.Error(err))
	}
}
