package cloudsyaml

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Place is where something is written.
type Place struct {
	// File is a path, or the name of an environment variable.
	File string
	// Line is 0 where there are no lines.
	Line int
}

func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Problem is something wrong at a place, with the way out.
//
//nolint:errname // a note is one, too, and no error
type Problem struct {
	At   Place
	Text string
}

func (p *Problem) Error() string { return p.At.String() + ": " + p.Text }

// problems is what was found wrong so far.
type problems []*Problem

// addf adds a problem, unless it was found before.
func (p *problems) addf(at Place, format string, args ...any) {
	one := problemf(at, format, args...)
	if !slices.ContainsFunc(*p, func(had *Problem) bool { return *had == *one }) {
		*p = append(*p, one)
	}
}

func problemf(at Place, format string, args ...any) *Problem {
	return &Problem{At: at, Text: fmt.Sprintf(format, args...)}
}

// err joins the problems in the order of their places, or returns nil.
func (p *problems) err() error {
	slices.SortStableFunc(*p, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.At.File, b.At.File), cmp.Compare(a.At.Line, b.At.Line))
	})
	all := make([]error, len(*p))
	for i, one := range *p {
		all[i] = one
	}
	return errors.Join(all...)
}
