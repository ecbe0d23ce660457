package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"

	"poold/web/login"
)

const (
	// askTime bounds the sending of a body, answerTime the taking of an answer,
	// but for streams and images, of which each part has its own.
	askTime, answerTime = 10 * time.Second, 2 * time.Minute
	// mostBody is how large a body may be.
	mostBody = 16 << 10
)

// visitorKey is where a request has its visitor.
type visitorKey struct{}

// visitor is who makes a request; nobody where nobody can sign in.
func visitor(r *http.Request) login.Visitor {
	v, _ := r.Context().Value(visitorKey{}).(login.Visitor) // the zero value is nobody
	return v
}

// ServeHTTP is part of http.Handler. It answers who may be answered, and waits for
// nobody for long.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// A writer without deadlines is one of a test.
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Now().Add(answerTime))
	if r.ContentLength != 0 {
		_ = control.SetReadDeadline(time.Now().Add(askTime))
	}
	s.admit(w, r)
}

func (s *Server) admit(w http.ResponseWriter, r *http.Request) {
	if s.Access == nil || open(r.URL.Path) {
		s.mux.ServeHTTP(w, r)
		return
	}
	if err := s.Access.FromHere(r); err != nil {
		s.refuse(w, r, http.StatusForbidden, "a page of somebody else has your browser do this")
		return
	}
	v, err := s.Access.Visitor(r)
	if err != nil {
		s.refuse(w, r, statusOf(err), err.Error())
		return
	}
	if s.Closed && v.Name == "" && r.URL.Path != signInPath {
		s.unknown(w, r)
		return
	}
	s.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), visitorKey{}, v)))
}

// open tells whether whoever comes may read a path: what says that the process is
// alive, what pages look like, and files whose names nobody can guess.
func open(path string) bool {
	return path == "/healthz" || path == "/readyz" || strings.HasPrefix(path, "/static/") || strings.HasPrefix(path, "/image-files/")
}

// unknown answers somebody who has to say who he is first.
func (s *Server) unknown(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.Redirect(w, r, signInPath+"?"+url.Values{"back": {r.URL.RequestURI()}}.Encode(), http.StatusSeeOther)
		return
	}
	s.refuse(w, r, http.StatusUnauthorized, "reading needs a token here")
}

// refuse answers a request that is not let in, and has the log say so.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, why string) {
	s.Log.Warn("request refused", zap.String("from", r.RemoteAddr), zap.String("method", r.Method), zap.String("path", r.URL.Path),
		zap.Int("status", status), zap.String("reason", why))
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="poold"`)
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "1")
	}
	s.reply(w, status, problem{why})
}

// readBody reads a body of a kind. The status is that of the answer if it cannot
// be read.
func readBody(w http.ResponseWriter, r *http.Request, kind string) (body []byte, status int, err error) {
	if is, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); is != kind {
		return nil, http.StatusUnsupportedMediaType, errors.New(kind + " is expected")
	}
	body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("more than %d bytes", mostBody)
	} else if err != nil {
		return nil, http.StatusBadRequest, errors.New("the body did not come")
	}
	// What follows may take longer.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return body, http.StatusOK, nil
}

// statusOf is the status of an error of login.
func statusOf(err error) int {
	if errors.Is(err, login.ErrBusy) {
		return http.StatusTooManyRequests
	}
	return http.StatusUnauthorized
}
