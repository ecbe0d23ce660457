package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func configuration(e *env) *cobra.Command {
	return noun("config", "The configuration: check", configCheck(e))
}

// configCheck is `poold check`, for machines without poold.
func configCheck(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "check -c FILE [-s FILE]", Short: "Validate the configuration, and list every defect", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if e.config == "" {
				return fmt.Errorf("%w: which configuration? Say -c nodepool.yaml", errUsage)
			}
			_, notes, err := e.load()
			for _, n := range notes {
				if _, werr := fmt.Fprintf(cmd.OutOrStdout(), "note: %s\n", n); werr != nil {
					return werr
				}
			}
			return err
		},
	}
}
