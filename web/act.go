package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/zap"

	"poold/pool"
)

const (
	// mostText bounds what an action says.
	mostText = 500
	// mostHold is longer than anybody holds a node.
	mostHold = 365 * 24 * time.Hour
)

// verbs are what can be done here.
func verbs() []pool.Verb {
	return []pool.Verb{
		pool.VerbDelete, pool.VerbForceDelete, pool.VerbHold, pool.VerbUnhold, pool.VerbBuild,
		pool.VerbPauseImage, pool.VerbUnpauseImage, pool.VerbPauseProvider, pool.VerbUnpauseProvider,
	}
}

// wish is what somebody wants done, as the API takes it.
type wish struct {
	Verb pool.Verb `json:"verb"`
	// Target is the id of a node, the name of an image, IMAGE/BUILD, or the name
	// of a provider.
	Target string `json:"target"`
	// Reason is why, for whoever wonders.
	Reason string `json:"reason"`
	// TTL is how long a node is held; empty is as long as allowed.
	TTL string `json:"ttl,omitempty"`
}

// done is the answer to an action that was done.
type done struct {
	wish

	By string `json:"by"`
}

// command turns a wish into a command, or says what is wrong with it.
func (w *wish) command(by string) (pool.Command, error) {
	w.Reason = strings.TrimSpace(w.Reason)
	c := pool.Command{Verb: w.Verb, By: by, Reason: w.Reason, TTL: w.TTL}
	switch {
	case !slices.Contains(verbs(), w.Verb):
		return c, errors.New("verb: it is none of those that can be done here")
	case !printable(w.Target):
		return c, errors.New("target: it has to be named")
	case !printable(w.Reason):
		return c, errors.New("reason: say why, in one line of 500 bytes at most")
	case w.TTL != "" && w.Verb != pool.VerbHold:
		return c, errors.New("ttl: only a hold has one")
	}
	if w.TTL != "" {
		if d, err := time.ParseDuration(w.TTL); err != nil || d <= 0 || d > mostHold {
			return c, errors.New("ttl: it must be a duration such as 90m or 24h, a year at most")
		}
	}
	if aboutNode(w.Verb) {
		c.Node = pool.NodeID(w.Target)
	} else {
		c.Target = w.Target
	}
	return c, nil
}

func aboutNode(v pool.Verb) bool {
	return v == pool.VerbDelete || v == pool.VerbForceDelete || v == pool.VerbHold || v == pool.VerbUnhold
}

// printable tells whether a text is a line that can be read, and not too long.
func printable(text string) bool {
	return text != "" && len(text) <= mostText && utf8.ValidString(text) &&
		!strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// act does what a visitor wants. The status is that of the answer, and the error
// why it was not done.
func (s *Server) act(r *http.Request, w wish) (status int, err error) {
	v := visitor(r)
	c, err := w.command(v.Name)
	switch {
	case v.Name == "":
		return http.StatusUnauthorized, errors.New("who acts has to sign in")
	case !v.MayAct():
		return http.StatusForbidden, errors.New("this token is for reading")
	case err != nil:
		return http.StatusBadRequest, err
	}
	err = s.Operate(r.Context(), c)
	s.Log.Info("action", zap.String("by", v.Name), zap.String("from", r.RemoteAddr), zap.String("verb", string(w.Verb)),
		zap.String("target", w.Target), zap.String("reason", w.Reason), zap.Error(err))
	switch {
	case err == nil:
		s.renew()
		return http.StatusOK, nil
	case errors.Is(err, pool.ErrNotFound):
		return http.StatusNotFound, err
	case errors.Is(err, pool.ErrRefused), errors.Is(err, pool.ErrConflict):
		return http.StatusConflict, err
	}
	return http.StatusServiceUnavailable, err
}

// actJSON is the action of a program. A browser does not send this kind of body
// for a page of somebody else unless we let it, and cookies do not count.
func (s *Server) actJSON(w http.ResponseWriter, r *http.Request) {
	if visitor(r).Session {
		s.refuse(w, r, http.StatusUnauthorized, "the API takes tokens and certificates, and no sessions")
		return
	}
	body, status, err := readBody(w, r, "application/json")
	var want wish
	if err == nil {
		status, err = http.StatusBadRequest, readJSON(body, &want)
	}
	if err == nil {
		status, err = s.act(r, want)
	}
	if err != nil {
		s.refuse(w, r, status, err.Error())
		return
	}
	s.reply(w, status, done{want, visitor(r).Name})
}

// readJSON reads one value, and nothing that is not known.
func readJSON(body []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("read the body: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("read the body: there is more than one value")
	}
	return nil
}

// notDone is what a page says that shows why something was not done.
type notDone struct{ Problem, Back string }

// actForm is the action of a page.
func (s *Server) actForm(w http.ResponseWriter, r *http.Request) {
	f, ok := s.form(w, r)
	if !ok {
		return
	}
	v, back := visitor(r), ours(f.Get("back"))
	tell := func(status int, why string) {
		s.write(w, r, status, "notdone", view{Title: "Not done", Data: notDone{why, back}})
	}
	switch {
	case v.Name == "":
		http.Redirect(w, r, signInPath+"?"+url.Values{"back": {back}}.Encode(), http.StatusSeeOther)
		return
	case !v.Brings(f.Get("form")):
		s.Log.Warn("form refused", zap.String("by", v.Name), zap.String("from", r.RemoteAddr))
		tell(http.StatusForbidden, "this form is not of this session: go back, load the page again, and try once more")
		return
	}
	status, err := s.act(r, wish{Verb: pool.Verb(f.Get("verb")), Target: f.Get("target"), Reason: f.Get("reason"), TTL: f.Get("ttl")})
	if err != nil {
		tell(status, err.Error())
		return
	}
	http.Redirect(w, r, back, http.StatusSeeOther) //nolint:gosec // a path of ours
}
