package store

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"poold/pool"
	"poold/store/kv"
)

// decodeRequest reads a request. It never fails: what a client wrote is never
// lost, and what is wrong with it is in Defect.
func (s *Store) decodeRequest(p place, it kv.Item) *pool.Request {
	if len(it.Value) > pool.MaxRequestBytes {
		r := &pool.Request{Defect: fmt.Sprintf("the value has %d bytes, at most %d are read", len(it.Value), pool.MaxRequestBytes)}
		r.Revision = it.ModRevision
		s.codec.requests.fill(r, p, it)
		return r
	}
	r, err := s.codec.requests.decode(s.keys, p, it)
	switch {
	case errors.Is(err, errNewer):
		r.Defect = fmt.Sprintf("version %d is not known, only up to %d", r.V, s.codec.requests.newest)
	case err != nil:
		r.Defect = "the value cannot be read: " + strings.TrimPrefix(err.Error(), "decode "+it.Key+": ")
	default:
		r.Defect = defect(r)
	}
	return r
}

// defect returns which bound a request breaks, or "".
func defect(r *pool.Request) string {
	for _, check := range []func(*pool.Request) string{nameDefect, labelsDefect, lifetimeDefect} {
		if d := check(r); d != "" {
			return d
		}
	}
	if r.Accept != "" && r.Accept != pool.AcceptAuto && r.Accept != pool.AcceptExplicit {
		return fmt.Sprintf("accept is %q, not %q or %q", r.Accept, pool.AcceptAuto, pool.AcceptExplicit)
	}
	return ""
}

func nameDefect(r *pool.Request) string {
	switch {
	case r.Client == "":
		return "the key names no client"
	case strings.Contains(r.Client, "/"):
		return "the client contains a slash"
	case r.ID == "":
		return "the key names no id"
	case strings.Contains(r.ID, "/"):
		return "the id contains a slash"
	}
	name := r.Client + r.ID
	if !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return "the key contains letters that cannot be printed"
	}
	return ""
}

func labelsDefect(r *pool.Request) string {
	switch n := len(r.Labels); {
	case n == 0:
		return "no labels"
	case n > pool.MaxRequestLabels:
		return fmt.Sprintf("%d labels, at most %d are given", n, pool.MaxRequestLabels)
	}
	for i, label := range r.Labels {
		if label == "" {
			return fmt.Sprintf("label %d is empty", i+1)
		}
	}
	return ""
}

func lifetimeDefect(r *pool.Request) string {
	if r.MaxLifetime == "" && !r.Leased {
		return "neither a lease nor max_lifetime"
	}
	if d := durationDefect("max_lifetime", r.MaxLifetime); d != "" {
		return d
	}
	if r.Hold != nil {
		return durationDefect("hold.ttl", r.Hold.TTL)
	}
	return ""
}

// durationDefect says what is wrong with a duration that may be left out.
func durationDefect(field, text string) string {
	if text == "" {
		return ""
	}
	if d, err := time.ParseDuration(text); err != nil || d <= 0 {
		return fmt.Sprintf("%s is %q, not a duration such as \"4h\"", field, text)
	}
	return ""
}
