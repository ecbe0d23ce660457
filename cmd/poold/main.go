// Poold keeps pools of ready, single-use virtual machines in several clouds for
// CI systems that ask for them through etcd. This program only reads flags and
// signals; package daemon is where everything is wired together.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"runtime/pprof"
	"syscall"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"poold/daemon"
	"poold/internal/manual"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		stop()
		_, _ = fmt.Fprintln(os.Stderr, err) // there is nowhere else to say it
		if errors.Is(err, daemon.ErrStuck) {
			_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 2) // as SIGABRT does
		}
		os.Exit(1)
	}
}

// flags are those of every subcommand.
type flags struct {
	config, secure, level string
}

// command is the whole command line.
func command() *cobra.Command {
	var f flags
	root := &cobra.Command{
		Use:           "poold",
		Short:         "Keep pools of ready, single-use virtual machines for CI systems",
		Version:       version(),
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := f.options(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if o.ConfigFile == "" {
				return errors.New("which configuration? Say -c nodepool.yaml, or `poold dev` for the demo")
			}
			o.Reload = hangups()
			return daemon.Run(cmd.Context(), o)
		},
	}
	root.PersistentFlags().StringVarP(&f.config, "config", "c", "", "the nodepool.yaml")
	root.PersistentFlags().StringVarP(&f.secure, "secure", "s", "", "the file with its secrets")
	root.PersistentFlags().StringVar(&f.level, "log-level", "info", "debug, info, warn or error")
	root.AddCommand(check(&f), dev(&f), manual.Command())
	return root
}

// hangups are the signals that ask for the files to be taken over. More than one
// at a time ask for no more.
func hangups() <-chan os.Signal {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGHUP)
	return asked
}

// check validates the configuration and says nothing if it is good.
func check(f *flags) *cobra.Command {
	var online bool
	cmd := &cobra.Command{
		Use:   "check -c FILE [-s FILE] [--online]",
		Short: "Validate the configuration: exit 0 if it is good, 1 with every defect if not",
		Long: `Validate the configuration: exit 0 if it is good, 1 with every defect if not.

With --online the clouds are asked, too, all at once: whether they let us in, and
have the flavors, images, networks, security groups, key pairs, server groups and
zones that the file names, formats of images, and quota. Nothing is changed there.
Each cloud gets a dozen calls or two, no faster than the provider's rate, beside
those of a poold that may be running. --log-level debug shows them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := f.options(cmd.OutOrStdout())
			if err != nil {
				return err
			}
			if o.ConfigFile == "" {
				return errors.New("which configuration? Say -c nodepool.yaml")
			}
			if online {
				return daemon.CheckOnline(cmd.Context(), o)
			}
			_, err = daemon.LoadConfig(o)
			return err
		},
	}
	cmd.Flags().BoolVar(&online, "online", false, "ask the clouds, too")
	return cmd
}

// dev runs the demo, or a part of it.
func dev(f *flags) *cobra.Command {
	var d daemon.DevOptions
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run the demo: embedded etcd and three simulated clouds on the loopback",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("log-level") {
				f.level = "warn" // the demo talks to a human
			}
			o, err := f.options(cmd.OutOrStdout())
			if err != nil {
				return err
			}
			o.Reload = hangups()
			d.Options = o
			return daemon.Dev(cmd.Context(), d)
		},
	}
	cmd.Flags().IntVar(&d.EtcdPort, "etcd-port", daemon.DefaultEtcdPort, "etcd's port on 127.0.0.1; 0 picks a free one")
	cmd.Flags().IntVar(&d.HTTPPort, "http-port", daemon.DefaultHTTPPort, "the dashboard's port on 127.0.0.1; 0 picks a free one")
	cmd.Flags().StringVar(&d.DataDir, "data-dir", "", "where to keep the data; a temporary folder that is removed, if empty")
	cmd.Flags().StringVar(&d.Only, "only", "", "run just this part: etcd or clouds")
	return cmd
}

// options turns flags into what the daemon takes; humans read at out.
func (f *flags) options(out io.Writer) (daemon.Options, error) {
	level, err := zapcore.ParseLevel(f.level)
	if err != nil {
		return daemon.Options{}, fmt.Errorf("--log-level: %w", err)
	}
	cfg := zap.NewProductionConfig()
	cfg.Level = zap.NewAtomicLevelAt(level)
	cfg.DisableCaller = true
	cfg.Sampling = nil // one line per move of a record: none may be missing
	cfg.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	cfg.EncoderConfig.EncodeDuration = zapcore.StringDurationEncoder
	log, err := cfg.Build(zap.WrapCore(daemon.Journal))
	if err != nil {
		return daemon.Options{}, fmt.Errorf("open the log: %w", err)
	}
	return daemon.Options{
		ConfigFile: f.config, SecureFile: f.secure, Version: version(), Log: log, Out: out,
	}, nil
}

// release is the version of a package; the linker sets it.
var release string //nolint:gochecknoglobals // the linker sets nothing else

// version is what the binary was built from.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "devel"
	}
	return info.Main.Version
}
