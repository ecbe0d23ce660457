package web

import (
	"net/http"
	"net/url"
	"strings"

	"go.uber.org/zap"
)

// signInPath is where somebody says who he is.
const signInPath = "/sign-in"

func (s *Server) accessRoutes() {
	if s.Access == nil {
		return
	}
	s.mux.HandleFunc("GET "+signInPath, func(w http.ResponseWriter, r *http.Request) {
		s.signInPage(w, r, http.StatusOK, signInData{Back: ours(r.URL.Query().Get("back"))})
	})
	s.mux.HandleFunc("POST "+signInPath, s.signIn)
	s.mux.HandleFunc("POST /sign-out", s.signOut)
	if s.Operate != nil {
		s.mux.HandleFunc("POST /act", s.actForm)
		s.mux.HandleFunc("POST /api/v1/actions", s.actJSON)
	}
}

type signInData struct {
	// Problem is why somebody was not let in; Back is where he wants to be.
	Problem, Back string
}

func (s *Server) signInPage(w http.ResponseWriter, r *http.Request, status int, d signInData) {
	s.write(w, r, status, "signin", view{Title: "Sign in", Data: d})
}

// signIn begins a session.
func (s *Server) signIn(w http.ResponseWriter, r *http.Request) {
	f, ok := s.form(w, r)
	if !ok {
		return
	}
	back := ours(f.Get("back"))
	v, err := s.Access.SignIn(w, r, strings.TrimSpace(f.Get("token")))
	if err != nil {
		s.Log.Warn("sign-in refused", zap.String("from", r.RemoteAddr), zap.Error(err))
		s.signInPage(w, r, statusOf(err), signInData{err.Error(), back})
		return
	}
	s.Log.Info("signed in", zap.String("by", v.Name), zap.String("from", r.RemoteAddr))
	http.Redirect(w, r, back, http.StatusSeeOther) //nolint:gosec // a path of ours
}

// signOut ends a session.
func (s *Server) signOut(w http.ResponseWriter, r *http.Request) {
	f, ok := s.form(w, r)
	if !ok {
		return
	}
	if v := visitor(r); v.Brings(f.Get("form")) {
		s.Access.SignOut(w, r)
		s.Log.Info("signed out", zap.String("by", v.Name), zap.String("from", r.RemoteAddr))
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// form reads a form, or refuses it. Nothing of it is taken from the address.
func (s *Server) form(w http.ResponseWriter, r *http.Request) (url.Values, bool) {
	body, status, err := readBody(w, r, "application/x-www-form-urlencoded")
	if err != nil {
		s.refuse(w, r, status, err.Error())
		return nil, false
	}
	f, err := url.ParseQuery(string(body))
	if err != nil {
		s.refuse(w, r, http.StatusBadRequest, "this is no form")
		return nil, false
	}
	return f, true
}

// ours is a path of ours to go back to: the one that is wanted, or the first page.
func ours(back string) string {
	u, err := url.Parse(back)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(back, "/") || strings.HasPrefix(back, "//") ||
		strings.ContainsAny(back, "\\\r\n\t") {
		return "/"
	}
	return back
}
