package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"

	"go.uber.org/zap"

	"poold/config"
)

// Options is what the command line says.
type Options struct {
	// ConfigFile is the nodepool.yaml, SecureFile the file with its secrets;
	// an empty SecureFile is none.
	ConfigFile, SecureFile string
	Version                string
	Log                    *zap.Logger
	// Reload asks for the files to be taken over now; nil never asks.
	Reload <-chan os.Signal
	// Out is where humans read: notes about the configuration, the demo's
	// hints.
	Out io.Writer
}

// LoadConfig reads and parses the configuration of the options, and prints its
// notes to o.Out. Its error lists every defect with its position.
func LoadConfig(o Options) (*config.Config, error) {
	in, err := o.readInput()
	if err != nil {
		return nil, err
	}
	return parseConfig(o.Out, in)
}

// readInput reads the files.
func (o *Options) readInput() (config.Input, error) {
	main, err := readSource(o.ConfigFile)
	if err != nil {
		return config.Input{}, err
	}
	in := config.Input{Main: main, Env: os.LookupEnv}
	if o.SecureFile != "" {
		secure, err := readSource(o.SecureFile)
		if err != nil {
			return config.Input{}, err
		}
		in.Secure = &secure
	}
	return in, nil
}

func readSource(name string) (config.Source, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return config.Source{}, fmt.Errorf("read the configuration: %w", err)
	}
	return config.Source{Name: name, Data: data}, nil
}

// parseConfig parses, and prints the notes.
func parseConfig(out io.Writer, in config.Input) (*config.Config, error) {
	cfg, notes, err := config.Parse(in)
	return cfg, errors.Join(err, printNotes(out, notes))
}

func printNotes(out io.Writer, notes []config.Note) error {
	for _, n := range notes {
		if _, err := fmt.Fprintf(out, "note: %s\n", n); err != nil {
			return err
		}
	}
	return nil
}
