package web

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"time"

	"poold/pool"
)

const (
	// mostItems is how many items one answer has at most, if it is limited.
	mostItems = 1000
	// mostFrom is the largest number that a part may begin at.
	mostFrom = 1_000_000_000
)

// listing is a list of the API.
type listing struct {
	kind string
	// fields are what it can be chosen by, sorted, and item is what it is of.
	fields []string
	item   reflect.Type
	// cut returns the items that the fields choose, from the number from on, and
	// how many there are in all. A limit below zero is none.
	cut func(s *pool.Snapshot, q url.Values, from, limit int) (items any, all int)
	// most is how many items an answer has at most that is not limited; 0 is any
	// number.
	most int
	// since is from when on all is remembered that the list is of; nil if it is of
	// what is there.
	since func() time.Time
}

// listOf makes a listing of what all returns.
func listOf[T any](kind string, all func(*pool.Snapshot) []T, fields map[string]func(T) string) listing {
	return listing{
		kind: kind, fields: slices.Sorted(maps.Keys(fields)), item: reflect.TypeFor[T](),
		cut: func(s *pool.Snapshot, q url.Values, from, limit int) (any, int) {
			items, found := []T{}, 0
			for _, item := range all(s) {
				if !fits(item, q, fields) {
					continue
				}
				if found >= from && (limit < 0 || len(items) < limit) {
					items = append(items, item)
				}
				found++
			}
			return items, found
		},
	}
}

func fits[T any](item T, q url.Values, fields map[string]func(T) string) bool {
	for name, field := range fields {
		if want := q.Get(name); want != "" && want != field(item) {
			return false
		}
	}
	return true
}

// answer is a list as it is served. Total and Next are there if there is a limit.
type answer struct {
	Items any `json:"items"`
	// Total is how many there are; Next is where the next part begins.
	Total *int `json:"total,omitempty"`
	Next  *int `json:"next,omitempty"`
	// KeptSince is from when on everything is listed that happened.
	KeptSince time.Time `json:"kept_since,omitzero"`
}

// list answers with a listing.
func (s *Server) list(l listing) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		from, limit, err := part(q, l.fields)
		if err != nil {
			s.reply(w, http.StatusBadRequest, problem{err.Error()})
			return
		}
		snapshot := s.Snapshot()
		if snapshot == nil {
			s.reply(w, http.StatusServiceUnavailable, problem{errUnread})
			return
		}
		if limit < 0 && l.most > 0 {
			limit = l.most
		}
		items, all := l.cut(snapshot, q, from, limit)
		a := answer{Items: items}
		if l.since != nil {
			a.KeptSince = l.since()
		}
		if limit >= 0 {
			a.Total = &all
			if next := from + limit; next < all {
				a.Next = &next
			}
		}
		s.reply(w, http.StatusOK, a)
	}
}

// part reads which part of a list is wanted, and refuses what it does not know:
// a word that is misspelled must not list everything.
func part(q url.Values, fields []string) (from, limit int, err error) {
	limit = -1
	for name, values := range q {
		switch {
		case len(values) != 1:
			err = fmt.Errorf("%q is there %d times", name, len(values))
		case name == "from":
			from, err = number(name, values[0], 0, mostFrom)
		case name == "limit":
			limit, err = number(name, values[0], 1, mostItems)
		case !slices.Contains(fields, name):
			err = fmt.Errorf("%q is none of %v, from and limit", name, fields)
		}
		if err != nil {
			return 0, 0, err
		}
	}
	if from > 0 && limit < 0 {
		return 0, 0, errors.New("from goes with limit")
	}
	return from, limit, nil
}

// number reads a number between two others.
func number(name, text string, least, most int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%s must be a number from %d to %d", name, least, most)
	}
	return n, nil
}
