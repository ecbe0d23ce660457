package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"poold/internal/golden"
)

const referenceHead = `<!-- Made by go test ./cmd/poolctl -update from what the commands say of themselves. Do not edit. -->

# poolctl

See and steer poold's pools of virtual machines. It talks to etcd only: what it lists are the records, and what it
wants done it writes as a command that the owner of the record carries out. ` + "`poolctl COMMAND --help`" + ` says what is said
here; ` + "`poolctl completion bash`" + ` (or zsh, fish) makes shells complete commands and the names that there are.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done in part, 4 not found, 5 refused.
`

// docs/poolctl.md is what the commands say of themselves.
func TestReference(t *testing.T) {
	root := command(time.Now)
	var b strings.Builder
	b.WriteString(referenceHead)
	b.WriteString("\n## Options of all commands\n")
	writeFlags(&b, root.PersistentFlags().FlagUsages())
	var old []string
	for _, c := range root.Commands() {
		switch {
		case c.Name() == "man": // for who makes packages
		case c.Hidden:
			old = append(old, fmt.Sprintf("- `poolctl %s`: %s\n", c.Use, lower(c.Short)))
		default:
			writeCommand(&b, c)
		}
	}
	b.WriteString("\n## Of nodepool's command line\n\nThese are not in the help, and work with nodepool's arguments.\n\n")
	b.WriteString(strings.Join(old, ""))
	golden.Equal(t, "../../docs/poolctl.md", b.String())
}

// lower is a sentence without its capital, for use within another.
func lower(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// writeCommand writes a command, and those below it.
func writeCommand(b *strings.Builder, c *cobra.Command) {
	if c.HasAvailableSubCommands() {
		for _, sub := range c.Commands() {
			if !sub.Hidden {
				writeCommand(b, sub)
			}
		}
		return
	}
	fmt.Fprintf(b, "\n## %s\n\n%s: `%s`\n", c.CommandPath(), c.Short, c.UseLine())
	if c.Long != "" {
		fmt.Fprintf(b, "\n%s\n", c.Long)
	}
	writeFlags(b, c.LocalNonPersistentFlags().FlagUsages())
}

// writeFlags writes the options of a command, if it has any.
func writeFlags(b *strings.Builder, usages string) {
	if usages != "" {
		fmt.Fprintf(b, "\n```text\n%s```\n", usages)
	}
}
