package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"go.uber.org/zap"

	"poold/web/login"
	"poold/web/model"
)

//go:embed pages/*.html
var pageFiles embed.FS

//go:embed static/*
var staticFiles embed.FS

// pages are the templates, by the name of the page.
type pages map[string]*template.Template

// newPages parses all templates. They are part of the binary, and a test
// parses them, so that one that cannot be parsed is a defect of the program.
func newPages() pages {
	base := template.Must(template.New("layout.html").Funcs(functions()).ParseFS(pageFiles, "pages/layout.html", "pages/parts.html"))
	names, err := fs.Glob(pageFiles, "pages/*.html")
	if err != nil {
		panic(err)
	}
	p := pages{}
	for _, name := range names {
		short := strings.TrimSuffix(path.Base(name), ".html")
		if short != "layout" && short != "parts" {
			p[short] = template.Must(template.Must(base.Clone()).ParseFS(pageFiles, name))
		}
	}
	return p
}

// view is what every page gets.
type view struct {
	// Title is the page's, Section where it is in the navigation.
	Title, Section string
	Theme, Path    string
	Site           *model.Site
	// SignIn says that one can; Visitor is who did.
	SignIn  bool
	Visitor login.Visitor
	// Acts are what he can do here.
	Acts []offered
	// Data is the page's own.
	Data any
}

// shownPage makes the data of a page for a request, or tells that what it is about
// does not exist.
type shownPage struct {
	pattern, template, section string
	data                       func(s *Server, site *model.Site, r *http.Request) (title string, data any, found bool)
}

func (s *Server) pageRoutes() {
	for _, p := range pageTable() {
		s.mux.HandleFunc("GET "+p.pattern, func(w http.ResponseWriter, r *http.Request) { s.draw(w, r, p) })
	}
	s.mux.HandleFunc("GET /theme", theme)
	s.mux.HandleFunc("GET /live", s.follow)
	files := http.FileServerFS(staticFiles)
	s.mux.HandleFunc("GET /static/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=300")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		files.ServeHTTP(w, r)
	})
}

// policy lets a page have its own styles, its own script and nothing else.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// draw answers with a page.
func (s *Server) draw(w http.ResponseWriter, r *http.Request, p shownPage) {
	site := s.Site(time.Now())
	v := view{Section: p.section, Site: site}
	status, name := http.StatusOK, p.template
	if site == nil {
		status, name, v.Title = http.StatusServiceUnavailable, "missing", errUnread
	} else {
		var found bool
		if v.Title, v.Data, found = p.data(s, site, r); !found {
			status, name, v.Title = http.StatusNotFound, "missing", "There is no such thing (any more)"
			v.Data = s.remembered(r)
		}
	}
	v.Acts = s.acts(visitor(r), v.Data)
	s.write(w, r, status, name, v)
}

// write draws a page.
func (s *Server) write(w http.ResponseWriter, r *http.Request, status int, name string, v view) {
	v.Theme, v.Path, v.SignIn, v.Visitor = chosenTheme(r), r.URL.RequestURI(), s.Access != nil, visitor(r)
	var body bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&body, "layout.html", v); err != nil {
		s.Log.Error("page not drawn", zap.String("page", name), zap.Error(err))
		http.Error(w, "this page cannot be drawn", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	w.WriteHeader(status)
	if _, err := w.Write(body.Bytes()); err != nil {
		s.Log.Debug("answer not delivered", zap.Error(err))
	}
}

// themeCookie remembers the theme that somebody chose.
const themeCookie = "poold-theme"

func chosenTheme(r *http.Request) string {
	if c, err := r.Cookie(themeCookie); err == nil && (c.Value == "dark" || c.Value == "light") {
		return c.Value
	}
	return "auto"
}

// theme remembers a theme and goes back to where it was chosen, which can be a
// page of ours only.
func theme(w http.ResponseWriter, r *http.Request) {
	to, back := r.URL.Query().Get("to"), r.URL.Query().Get("back")
	if to != "dark" && to != "light" && to != "auto" {
		http.Error(w, "no such theme", http.StatusBadRequest)
		return
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // it is no secret, and the port may be without TLS
		Name: themeCookie, Value: to, Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteLaxMode,
	})
	http.Redirect(w, r, ours(back), http.StatusSeeOther) //nolint:gosec // a path of ours
}

// pageSize is how many rows a list shows at once.
const pageSize = 100

// paged is a part of a list.
type paged[T any] struct {
	Items []T
	// From is the number of the first one shown, from 1; All how many there are.
	From, To, All int
	// Before and After are the queries of the parts around it; empty if there is
	// none.
	Before, After string
}

// asked is where the part of a list begins that a request asks for.
func asked(r *http.Request) int {
	from := 0
	if _, err := fmt.Sscanf(r.URL.Query().Get("from"), "%d", &from); err != nil || from < 0 {
		return 0
	}
	return from
}

// cut returns the part of a list that a request asks for.
func cut[T any](all []T, r *http.Request) paged[T] {
	from := asked(r)
	if from >= len(all) {
		from = 0
	}
	return pageOf(all[from:min(len(all), from+pageSize)], from, len(all), r)
}

// pageOf makes a part of items, which begin at from of all.
func pageOf[T any](items []T, from, all int, r *http.Request) paged[T] {
	to := from + len(items)
	p := paged[T]{Items: items, From: min(from+1, all), To: to, All: all}
	at := func(n int) string {
		q := r.URL.Query()
		q.Set("from", fmt.Sprint(n))
		return "?" + q.Encode()
	}
	if from > 0 {
		p.Before = at(max(0, from-pageSize))
	}
	if to < all {
		p.After = at(to)
	}
	return p
}
