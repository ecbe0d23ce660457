package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"poold/pool"
)

func leak(e *env) *cobra.Command {
	return noun("leak", "What no record explains: list, delete, agree", leakList(e), leakDelete(e), leakAgree(e))
}

// found is a leak with what is known of its provider.
type found struct {
	Provider string `json:"provider"`
	Frozen   string `json:"frozen,omitempty"`
	pool.Leak
}

// leaks lists the leaks of one provider, or of all if it is "".
func leaks(s *pool.Snapshot, provider string) []found {
	var all []found
	for _, h := range s.Healths {
		if provider != "" && h.Provider != provider {
			continue
		}
		for i := range h.Leaks {
			all = append(all, found{h.Provider, h.Frozen, h.Leaks[i]})
		}
	}
	return all
}

// goes says when a leak is removed.
func (f *found) goes(now time.Time) string {
	switch {
	case f.Agreed(now):
		return "now, agreed by " + f.AgreedBy
	case f.ByHand:
		return "by hand"
	case f.Goes == nil:
		return "when agreed"
	case f.Goes.After(now):
		return "in " + ago(*f.Goes, now)
	}
	return "now"
}

func leakTable(now time.Time) table[found] {
	return table[found]{
		name: func(f found) string { return f.Key() },
		columns: []column[found]{
			{title: "PROVIDER", value: func(f found) string { return f.Provider }},
			{title: "KIND", value: func(f found) string { return f.Kind }},
			{title: "ID", value: func(f found) string { return f.ID }},
			{title: "NAME", value: func(f found) string { return f.Name }},
			{title: "AGE", value: func(f found) string {
				if f.Created == nil {
					return ""
				}
				return ago(now, *f.Created)
			}},
			{title: "SEEN", value: func(f found) string { return ago(now, f.Since) }},
			{title: "GOES", value: func(f found) string { return f.goes(now) }},
			{title: "WHY", wide: true, value: func(f found) string { return f.Why }},
		},
	}
}

func leakList(e *env) *cobra.Command {
	var provider string
	cmd := &cobra.Command{Use: "list", Short: "List leaks, and when each is removed", Args: exactly(0)}
	cmd.Flags().StringVar(&provider, "provider", "", "of this provider only")
	return e.shows(cmd, nil, func(w io.Writer, s *pool.Snapshot) error {
		err := leakTable(e.now()).print(w, e.output, leaks(s, provider))
		if e.output == formatTable || e.output == formatWide {
			notes := w // of what is watched
			if w == cmd.OutOrStdout() {
				notes = cmd.ErrOrStderr()
			}
			err = errors.Join(err, tellFrozen(notes, s, provider), tellVanished(notes, s, provider))
		}
		return err
	})
}

// tellFrozen says where nothing is removed, and what to do about it.
func tellFrozen(w io.Writer, s *pool.Snapshot, provider string) error {
	for _, h := range s.Healths {
		if h.Frozen == "" || provider != "" && h.Provider != provider {
			continue
		}
		_, err := fmt.Fprintf(w, "\n%s is frozen: %s.\nIf all of this is to go: poolctl leak agree %s\n", h.Provider, h.Frozen, h.Provider)
		if err != nil {
			return err
		}
	}
	return nil
}

// tellVanished says what seems to have vanished where, and what to do about it.
func tellVanished(w io.Writer, s *pool.Snapshot, provider string) error {
	for _, h := range s.Healths {
		if len(h.Vanished) == 0 || provider != "" && h.Provider != provider {
			continue
		}
		_, err := fmt.Fprintf(w, "\n%s is held: the cloud knows the instances of %d nodes no more (%s first).\n"+
			"Are its credentials of the right project? If they are gone indeed: poolctl leak agree %s\n",
			h.Provider, len(h.Vanished), h.Vanished[0].Node, h.Provider)
		if err != nil {
			return err
		}
	}
	return nil
}

func leakDelete(e *env) *cobra.Command {
	var provider string
	cmd := &cobra.Command{
		Use: "delete ID...", Short: "Remove leaks at the next look, frozen or not", Args: some(),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.snapshot(cmd.Context())
			if err != nil {
				return err
			}
			chosen := map[string][]string{}
			for _, id := range args {
				f, err := findLeak(leaks(s, provider), id)
				if err != nil {
					return err
				}
				chosen[f.Provider] = append(chosen[f.Provider], f.Key())
			}
			return e.removeLeaks(cmd, chosen)
		},
	}
	cmd.Flags().StringVar(&provider, "provider", "", "of this provider")
	return cmd
}

// findLeak finds a leak by its id, or by KIND/ID.
func findLeak(all []found, id string) (*found, error) {
	var one *found
	for i := range all {
		if all[i].ID != id && all[i].Key() != id {
			continue
		}
		if one != nil {
			return nil, fmt.Errorf("%w: several leaks are called %s: name it KIND/ID, with --provider", errUsage, id)
		}
		one = &all[i]
	}
	if one == nil {
		return nil, fmt.Errorf("leak %s: %w", id, pool.ErrNotFound)
	}
	return one, nil
}

func leakAgree(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "agree PROVIDER", Short: "Agree that all leaks listed now are removed, though the sweep is frozen, and that vanished nodes are gone", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.snapshot(cmd.Context())
			if err != nil {
				return err
			}
			h := s.Health(args[0])
			if h == nil {
				return fmt.Errorf("provider %s: %w", args[0], pool.ErrNotFound)
			}
			if h.Frozen == "" && len(h.Vanished) == 0 {
				return fmt.Errorf("%w: %s is not frozen, and no node of it has vanished", pool.ErrRefused, args[0])
			}
			var keys []string
			for i := range h.Vanished {
				keys = append(keys, h.Vanished[i].Key())
			}
			for i := range h.Leaks {
				if h.Frozen != "" && !h.Leaks[i].ByHand {
					keys = append(keys, h.Leaks[i].Key())
				}
			}
			return e.removeLeaks(cmd, map[string][]string{args[0]: keys})
		},
	}
}

// removeLeaks gives one command per provider and prints what was agreed to.
func (e *env) removeLeaks(cmd *cobra.Command, chosen map[string][]string) error {
	var failed []error
	for _, provider := range slices.Sorted(maps.Keys(chosen)) {
		keys := chosen[provider]
		err := e.command(cmd.Context(), pool.Command{Verb: pool.VerbRemoveLeaks, Target: provider, Leaks: keys})
		if err != nil {
			failed = append(failed, fmt.Errorf("provider %s: %w", provider, err))
			continue
		}
		for _, key := range keys {
			if _, err := fmt.Fprintln(cmd.OutOrStdout(), key); err != nil {
				return err
			}
		}
	}
	if len(failed) > 0 && len(failed) < len(chosen) {
		return fmt.Errorf("%w: %w", errPartly, errors.Join(failed...))
	}
	return errors.Join(failed...)
}
