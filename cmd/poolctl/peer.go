package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"poold/pool"
)

func peer(e *env) *cobra.Command {
	return noun("peer", "Peers: list, drain, undrain, forget", peerList(e), peerDrain(e), peerUndrain(e), peerForget(e))
}

func peerList(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the running peers and what they own", Args: exactly(0)}
	return e.shows(cmd, nil, func(w io.Writer, s *pool.Snapshot) error {
		now := e.now()
		err := table[*pool.Member]{
			name: func(m *pool.Member) string { return m.Name },
			columns: []column[*pool.Member]{
				{title: "NAME", value: func(m *pool.Member) string { return m.Name }},
				{title: "VERSION", value: func(m *pool.Member) string { return m.Version }},
				{title: "UP", value: func(m *pool.Member) string { return ago(now, m.Started) }},
				{title: "CONFIGURED", value: func(m *pool.Member) string { return ago(now, m.Configured) }},
				{title: "OWNS", value: func(m *pool.Member) string { return strings.Join(m.Owns, " ") }},
			},
		}.print(w, e.output, s.Members)
		return errors.Join(err, e.noteDisputes(w, s), e.noteAway(w, s), e.noteDrains(w, s), e.noteFreeze(w, s.Freeze))
	})
}

// noteDrains says below a table which peers are drained. Other formats are for
// programs.
func (e *env) noteDrains(w io.Writer, s *pool.Snapshot) error {
	if e.output != formatTable && e.output != formatWide {
		return nil
	}
	for _, d := range s.Drains {
		why := ""
		if d.Reason != "" {
			why = ": " + d.Reason
		}
		if _, err := fmt.Fprintf(w, "\n%s is drained by %s%s (%s ago)\n", d.Peer, d.By, why, ago(e.now(), d.At)); err != nil {
			return err
		}
	}
	return nil
}

// noteDisputes says below a table what peers do not agree on, and who is on
// which side. Other formats are for programs.
func (e *env) noteDisputes(w io.Writer, s *pool.Snapshot) error {
	disputes := s.Disputes()
	if len(disputes) == 0 || e.output != formatTable && e.output != formatWide {
		return nil
	}
	_, err := fmt.Fprint(w, "\nThe peers contradict each other. Nothing is retired of these, and of a provider what its owner says counts:\n")
	for _, key := range disputes {
		var sides []string
		for _, side := range s.Sides(key) {
			sides = append(sides, strings.Join(side, ", "))
		}
		_, werr := fmt.Fprintf(w, "  %s: %s\n", key, strings.Join(sides, " against "))
		err = errors.Join(err, werr)
	}
	return err
}

// noteAway says below a table which peers do not run that have a provider of
// their own. Other formats are for programs.
func (e *env) noteAway(w io.Writer, s *pool.Snapshot) error {
	if e.output != formatTable && e.output != formatWide {
		return nil
	}
	for _, o := range s.Offers {
		if s.Runs(o.Peer) {
			continue
		}
		var only []string
		for i := range o.Catalog.Providers {
			p := &o.Catalog.Providers[i]
			if p.Launches() && !slices.ContainsFunc(s.Offers, func(other *pool.Offer) bool {
				also := other.Catalog.Provider(p.Name)
				return also != nil && also.Launches() && s.Runs(other.Peer)
			}) {
				only = append(only, p.Name)
			}
		}
		if len(only) == 0 {
			continue
		}
		if _, err := fmt.Fprintf(w, "\n%s does not run, and nothing is launched in: %s\n", o.Peer, strings.Join(only, " ")); err != nil {
			return err
		}
	}
	return nil
}

func peerForget(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "forget PEER...", Short: "Forget what peers had that will not come back", Args: some(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return each(cmd, "peer", args, func(name string) error {
				return e.command(cmd.Context(), pool.Command{Verb: pool.VerbForgetPeer, Target: name})
			})
		},
	}
}

func peerDrain(e *env) *cobra.Command {
	return pauseCommand(e, pool.VerbDrainPeer, "peer", &cobra.Command{
		Use:   "drain PEER... [--reason TEXT]",
		Short: "Have peers hand their duties over to others and take none, until undrain",
	})
}

func peerUndrain(e *env) *cobra.Command {
	return pauseCommand(e, pool.VerbUndrainPeer, "peer", &cobra.Command{
		Use:   "undrain PEER... [--reason TEXT]",
		Short: "Let peers take duties again",
	})
}
