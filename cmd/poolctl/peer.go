package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"poold/pool"
)

func peer(e *env) *cobra.Command {
	return noun("peer", "Peers: list", peerList(e))
}

func peerList(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the running peers and what they own", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.snapshot(cmd.Context())
			if err != nil {
				return err
			}
			now := e.now()
			err = table[*pool.Member]{
				name: func(m *pool.Member) string { return m.Name },
				columns: []column[*pool.Member]{
					{title: "NAME", value: func(m *pool.Member) string { return m.Name }},
					{title: "VERSION", value: func(m *pool.Member) string { return m.Version }},
					{title: "UP", value: func(m *pool.Member) string { return ago(now, m.Started) }},
					{title: "OWNS", value: func(m *pool.Member) string { return strings.Join(m.Owns, " ") }},
				},
			}.print(cmd.OutOrStdout(), e.output, s.Members)
			return errors.Join(err, e.noteFreeze(cmd.OutOrStdout(), s.Freeze))
		},
	}
}
