package login

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// cookieName is the cookie of a session.
	cookieName = "poold-session"
	// sessionTime is how long one lasts.
	sessionTime = 12 * time.Hour
	// mostEnded bounds what is remembered of sessions that were ended.
	mostEnded = 10_000
)

// A session is a cookie that says whose it is, until when, and a word that only
// who knows his token can have written. So it holds at every peer that has the
// token, outlives a restart, and ends when the token is taken out of the file.

// SignIn begins a session for who has the token.
func (g *Guard) SignIn(w http.ResponseWriter, r *http.Request, token string) (Visitor, error) {
	h, err := g.check(r, token)
	if err != nil {
		return Visitor{}, err
	}
	parts := []string{
		base64.RawURLEncoding.EncodeToString([]byte(h.Name)),
		strconv.FormatInt(g.Now().Add(sessionTime).Unix(), 10), rand.Text(),
	}
	parts = append(parts, word(h.key[:], append([]string{"session"}, parts...)...))
	value := strings.Join(parts, ".")
	http.SetCookie(w, cookie(r, value, int(sessionTime/time.Second)))
	return visitor(&h, value), nil
}

// SignOut ends the session of a request, at this peer and in the browser.
func (g *Guard) SignOut(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, cookie(r, "", -1))
	shown, err := r.Cookie(cookieName)
	if err != nil || g.session(r).Name == "" {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.Now()
	for value, end := range g.ended {
		if now.After(end) || len(g.ended) >= mostEnded {
			delete(g.ended, value)
		}
	}
	g.ended[shown.Value] = now.Add(sessionTime)
}

// cookie is only sent to us, only where it cannot change anything if another page
// makes the request, and no script can read it. The browser says in Origin whether
// it came to us encrypted, though something in between may have ended that.
func cookie(r *http.Request, value string, age int) *http.Cookie {
	encrypted := r.TLS != nil || strings.HasPrefix(r.Header.Get("Origin"), "https://")
	return &http.Cookie{ //nolint:gosec // the port may be without TLS
		Name: cookieName, Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: encrypted, SameSite: http.SameSiteLaxMode,
	}
}

// session is who has the session of a request; nobody if there is none that
// holds.
func (g *Guard) session(r *http.Request) Visitor {
	all := r.CookiesNamed(cookieName)
	if len(all) != 1 {
		return Visitor{} // of two one was put there by somebody else
	}
	value := all[0].Value
	parts := strings.Split(value, ".")
	const named = 4
	if len(parts) != named {
		return Visitor{}
	}
	name, err := base64.RawURLEncoding.DecodeString(parts[0])
	end, wrong := strconv.ParseInt(parts[1], 10, 64)
	holders := g.holders()
	i := slices.IndexFunc(holders, func(h Holder) bool { return h.Name == string(name) })
	if cmp.Or(err, wrong) != nil || i < 0 || g.over(value, end) {
		return Visitor{}
	}
	h := &holders[i]
	if !hmac.Equal([]byte(parts[3]), []byte(word(h.key[:], "session", parts[0], parts[1], parts[2]))) {
		return Visitor{}
	}
	return visitor(h, value)
}

// over tells whether a session has ended.
func (g *Guard) over(value string, end int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ended := g.ended[value]
	return ended || g.Now().Unix() >= end
}

func visitor(h *Holder, session string) Visitor {
	return Visitor{Name: h.Name, ReadOnly: h.ReadOnly, Form: word(h.key[:], "form", session), Session: true}
}
