// Package login tells who asks over HTTP: who shows a token, a certificate, or
// the cookie of a session that began with a token. It guesses nothing: a token
// that is wrong is refused, and not passed over. Who tries tokens has to wait.
//
// A browser sends cookies and certificates by itself, also when a page of
// somebody else has it do so. What changes something must therefore come from a
// page of ours (see [Guard.FromHere]), and, if it is a form, bring the word that
// was put into it for this visitor.
package login

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"
)

// The reasons for which nobody is let in.
var (
	// ErrWrong says that a token is not one of those that there are.
	ErrWrong = errors.New("this token is not known here")
	// ErrBusy says that too many tokens are being tried.
	ErrBusy = errors.New("too many tokens are being tried; wait a second")
)

// Visitor is who asks. The zero value is nobody in particular.
type Visitor struct {
	// Name is who it is; empty is nobody.
	Name string
	// ReadOnly says that he may not act.
	ReadOnly bool
	// Form is the word that forms of his have to bring; empty if his browser
	// sends nothing by itself that would let him in.
	Form string
	// Session says that a cookie let him in.
	Session bool
}

// MayAct tells whether he may change anything.
func (v Visitor) MayAct() bool { return v.Name != "" && !v.ReadOnly }

// Guard lets visitors in. Its fields are set before it is used; make one with
// [New].
type Guard struct {
	// Holders returns who has a token now; nil is nobody.
	Holders func() []Holder
	// Certificates says that the certificate of a client, if the connection has
	// verified one, tells who he is.
	Certificates bool
	// Now is the clock.
	Now func() time.Time

	// key is for the forms of who has a certificate.
	key      [sha256.Size]byte
	attempts attempts
	origin   http.CrossOriginProtection

	// mu guards ended.
	mu sync.Mutex
	// ended are the sessions that were ended before their time, and when that is.
	ended map[string]time.Time
}

// New returns a guard that nobody passes yet.
func New() *Guard {
	g := &Guard{Now: time.Now, ended: map[string]time.Time{}}
	_, _ = rand.Read(g.key[:]) // it never fails
	return g
}

// Visitor returns who makes a request: nobody, if it shows nothing.
func (g *Guard) Visitor(r *http.Request) (Visitor, error) {
	if shown := r.Header.Values("Authorization"); len(shown) > 0 {
		scheme, token, _ := strings.Cut(shown[0], " ")
		if len(shown) > 1 || !strings.EqualFold(scheme, "Bearer") {
			return Visitor{}, ErrWrong
		}
		h, err := g.check(r, token)
		if err != nil {
			return Visitor{}, err
		}
		return Visitor{Name: h.Name, ReadOnly: h.ReadOnly}, nil
	}
	if v := g.session(r); v.Name != "" {
		return v, nil
	}
	if g.Certificates && r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return g.certified(r.TLS.PeerCertificates[0]), nil
	}
	return Visitor{}, nil
}

// certified is who has a certificate. A name that could be taken for something
// else in a log is none.
func (g *Guard) certified(c *x509.Certificate) Visitor {
	if !isName(c.Subject.CommonName) {
		return Visitor{}
	}
	return Visitor{Name: c.Subject.CommonName, Form: word(g.key[:], "form", string(c.Raw))}
}

// FromHere returns an error if a request that may change something was made by a
// page of somebody else, as far as the browser says.
func (g *Guard) FromHere(r *http.Request) error { return g.origin.Check(r) }

// Brings tells whether a form brings the word that is due.
func (v Visitor) Brings(form string) bool {
	return v.Form == "" || hmac.Equal([]byte(v.Form), []byte(form))
}

// check finds the holder of a token. A wrong one is told only after a time, and
// takes room from further attempts until then.
func (g *Guard) check(r *http.Request, token string) (Holder, error) {
	release, ok := g.attempts.begin(r.RemoteAddr)
	if !ok {
		return Holder{}, ErrBusy
	}
	if h, ok := find(g.holders(), token); ok {
		release()
		return h, nil
	}
	told := make(chan struct{})
	time.AfterFunc(wrongTime, func() {
		release() // also if he did not wait for the answer
		close(told)
	})
	select {
	case <-told:
	case <-r.Context().Done():
	}
	return Holder{}, ErrWrong
}

func (g *Guard) holders() []Holder {
	if g.Holders == nil {
		return nil
	}
	return g.Holders()
}

// word is what only who has the key can say of some parts.
func word(key []byte, parts ...string) string {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write([]byte(strings.Join(parts, "\x00"))) // a hash takes everything
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// isName tells whether a name can stand in a log and a record: it is short, and
// has neither spaces nor what cannot be seen.
func isName(name string) bool {
	const most = 64
	return name != "" && len(name) <= most && !strings.ContainsFunc(name, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == unicode.ReplacementChar
	})
}
