package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"poold/pool"
	"poold/store"
)

func records(e *env) *cobra.Command {
	return noun("state", "The records as a file: export, import", stateExport(e), stateImport(e))
}

func stateExport(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "export [FILE]", Short: "Write all records as one JSON document", Args: usage(cobra.MaximumNArgs(1)),
		Long: `Write all records as one JSON document, as they were at one moment, while poold runs.

Without FILE it goes to standard output. FILE is replaced as a whole or not at all, and
only its owner may read it. There are no secrets in records.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.open(cmd.Context(), func(at *conn) error {
				s, err := at.Export(cmd.Context(), e.now())
				if err != nil {
					return err
				}
				if len(args) == 0 {
					return writeState(cmd.OutOrStdout(), s)
				}
				return replace(args[0], func(w io.Writer) error { return writeState(w, s) })
			})
		},
	}
}

// writeState writes values as they are stored, but for white space.
func writeState(w io.Writer, s *store.State) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(s)
}

// replace writes a file for its owner only. Whoever reads it sees the old one, or
// all of the new one.
func replace(name string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-") // with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err = errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

func stateImport(e *env) *cobra.Command {
	var dryRun bool
	var confirm int
	cmd := &cobra.Command{
		Use: "import FILE [--dry-run | --confirm N]", Short: "Bring back the images after etcd was lost", Args: exactly(1),
		Long: `Bring back the images after etcd was lost, so that they need not be built and
uploaded again: import what "poolctl state export" wrote.

Imported are the installation's id, if there is none; builds that are ready, and uploads
that are ready or on trial; builds and uploads that were taken out of service by hand or by
a canary; pauses, drains and the freeze. Only what is not there is written, so that it can
be done again. Nothing is written unless all of that can be read.

Nodes are not imported: a server of then may be gone, or somebody else's. Those that still
run become leaks, which are removed once that was agreed to. Requests and leases are
their clients', and what is known of clouds and peers is found out anew.

Import before poold is started with the empty etcd: it would take another installation id,
which no image in a cloud carries, and remove the files of builds that are not on record. A
document of another installation is refused. Never import into a second etcd while the first
is in use: two poolds with one id remove each other's servers.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.restore(cmd, args[0], func(r *store.Restore) (bool, error) {
				show := func() error { return restoredTable().print(cmd.OutOrStdout(), e.output, r.Records) }
				if dryRun || r.Writes() == 0 {
					return false, show()
				}
				return confirmed(cmd.ErrOrStderr(), confirm, r.Writes(), show)
			})
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only show what would be imported, and why the rest is not")
	cmd.Flags().IntVar(&confirm, "confirm", 0, "how many records would be imported; without it they are only shown")
	return cmd
}

// restore imports a document, if agree says so to what would be written.
func (e *env) restore(cmd *cobra.Command, name string, agree func(*store.Restore) (bool, error)) error {
	s, err := readState(name)
	if err != nil {
		return err
	}
	return e.open(cmd.Context(), func(at *conn) error {
		r, err := at.Restorable(cmd.Context(), s)
		if err != nil {
			return fmt.Errorf("import %s: %w", name, err)
		}
		if yes, err := agree(r); !yes || err != nil {
			return err
		}
		if err := at.Restore(cmd.Context(), r); err != nil {
			return fmt.Errorf("import %s: not all is there, do it again: %w", name, err)
		}
		for _, x := range r.Records {
			if x.Left == "" {
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), x.Key); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func readState(name string) (*store.State, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var s store.State
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("%w: %s is not what poolctl state export wrote: %w", pool.ErrRefused, name, err)
	}
	return &s, nil
}

func restoredTable() table[*store.Restored] {
	return table[*store.Restored]{
		columns: []column[*store.Restored]{
			{title: "KIND", value: func(x *store.Restored) string { return x.Kind }},
			{title: "KEY", value: func(x *store.Restored) string { return x.Key }},
			{title: "NOT IMPORTED", value: func(x *store.Restored) string { return x.Left }},
		},
		name: func(x *store.Restored) string { return x.Key },
	}
}

// oldExport takes the file as nodepool does.
func oldExport(e *env) *cobra.Command {
	cmd := stateExport(e)
	cmd.Use, cmd.Args = "export FILE", exactly(1)
	return cmd
}

// oldImport asks nothing, as nodepool does not: only what is not there is written.
func oldImport(e *env) *cobra.Command {
	cmd := stateImport(e)
	cmd.Use = "import FILE"
	cmd.ResetFlags()
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return e.restore(cmd, args[0], func(*store.Restore) (bool, error) { return true, nil })
	}
	return cmd
}
