package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"poold/cloud/openstack"
	"poold/cloud/survey"
	"poold/config"
)

// CheckOnline is [LoadConfig] that asks the clouds, too, all at once. It prints
// a line to o.Out for each that has answered, and then its notes. Its error
// lists every defect with its position.
func CheckOnline(ctx context.Context, o Options) error {
	in, err := o.readInput()
	if err != nil {
		return err
	}
	cfg, err := parseConfig(o.Out, in)
	if err != nil {
		return err
	}
	d := newDaemon(cfg, o)
	providers := (&setup{cfg: cfg}).providers()
	asked := &inquiry{out: o.Out, found: make([][]config.Finding, len(providers))}
	groups := d.rateGroups(providers, d.suggestion(openstack.RateGroup))
	var asking sync.WaitGroup
	for i, p := range providers {
		if p.Static() {
			continue // there is no cloud to be asked
		}
		reach, err := d.reach(p, groups[p.Name], nil)
		if err != nil {
			asked.tell(i, p.Name, []config.Finding{{Paths: [][]string{{"providers", p.Name, "cloud"}}, Problem: err.Error()}})
			continue
		}
		asking.Go(func() {
			defer reach.driver.Close()
			asked.tell(i, p.Name, survey.Check(ctx, reach.driver, p))
		})
	}
	asking.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx) // whatever was found with it is no defect
	}
	notes, err := config.Place(in, slices.Concat(asked.found...))
	return errors.Join(asked.err, printNotes(o.Out, notes), err)
}

// inquiry collects what is found about several providers at once.
type inquiry struct {
	out io.Writer

	mu sync.Mutex // guards what follows
	// found is in the order of the providers, whoever answers first.
	found [][]config.Finding
	err   error
}

// tell takes what was found about the provider at a place, and says so.
func (i *inquiry) tell(at int, provider string, found []config.Finding) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.found[at] = found
	text := "good"
	if slices.ContainsFunc(found, func(f config.Finding) bool { return !f.Note }) {
		text = "has defects"
	}
	_, err := fmt.Fprintf(i.out, "provider %s: %s\n", provider, text)
	i.err = errors.Join(i.err, err)
}
