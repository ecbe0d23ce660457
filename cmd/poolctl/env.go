package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"poold/client"
	"poold/config"
	"poold/pool"
	"poold/store"
	"poold/store/kv/etcdkv"
)

// defaultEtcd is where the demo and a one-machine site have their etcd.
const defaultEtcd = "http://127.0.0.1:2379"

// env is what every command works with.
type env struct {
	etcd, config, secure, prefix, output string
	files                                etcdkv.TLSFiles
	user                                 string
	now                                  func() time.Time
}

func (e *env) flags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&e.etcd, "etcd", "", "etcd's URLs, separated by commas ("+etcdkv.EndpointsVariable+", or "+defaultEtcd+")")
	f.StringVar(&e.files.CA, "etcd-cacert", "", "the authority that signed etcd's certificate ("+etcdkv.CAVariable+")")
	f.StringVar(&e.files.Cert, "etcd-cert", "", "the certificate to show to etcd ("+etcdkv.CertVariable+")")
	f.StringVar(&e.files.Key, "etcd-key", "", "the certificate's private key ("+etcdkv.KeyVariable+")")
	f.StringVar(&e.user, "etcd-user", "", "the user to log in as ("+etcdkv.UserVariable+"); the password is in "+etcdkv.PasswordVariable)
	f.StringVarP(&e.config, "config", "c", "", "read how to reach etcd from this nodepool.yaml")
	f.StringVarP(&e.secure, "secure", "s", "", "the file with its secrets")
	f.StringVar(&e.prefix, "prefix", "", "the prefix of all keys ("+store.DefaultPrefix+")")
	f.StringVarP(&e.output, "output", "o", formatTable, "table, wide, json, yaml or name; node list: ansible, too")
}

// check refuses flags that make no sense before anything is done.
func (e *env) check(cmd *cobra.Command) error {
	_, inventories := cmd.Annotations[formatAnsible]
	switch {
	case slices.Contains(outputs(), e.output), e.output == formatAnsible && inventories:
	default:
		return fmt.Errorf("%w: -o %s: it must be table, wide, json, yaml or name", errUsage, e.output)
	}
	switch {
	case e.secure != "" && e.config == "":
		return fmt.Errorf("%w: -s goes with -c", errUsage)
	case strings.Contains(e.user, ":"):
		return fmt.Errorf("%w: --etcd-user is the name alone: everybody on this machine can read a command line; "+
			"the password goes into %s", errUsage, etcdkv.PasswordVariable)
	}
	return nil
}

// conn is a connection to etcd, and the records there.
type conn struct {
	*store.Store

	db     *etcdkv.KV
	prefix string
}

// client returns the protocol of CI systems in the name of one.
func (c *conn) client(name string) (*client.Client, error) {
	found, err := client.New(c.db, c.prefix, name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	return found, nil
}

// open connects to etcd, and does something with it.
func (e *env) open(ctx context.Context, use func(*conn) error) (err error) {
	settings, prefix, err := e.settings()
	if err != nil {
		return err
	}
	c, err := settings.Config()
	if err != nil {
		return err
	}
	c.Log = zap.NewNop()
	db, err := etcdkv.Open(ctx, c)
	if err != nil {
		return fmt.Errorf("reach etcd at %s: %w", strings.Join(c.Endpoints, ", "), err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return use(&conn{Store: store.New(db, prefix, zap.NewNop()), db: db, prefix: prefix})
}

// settings says how to reach etcd, and the prefix of the records. A flag wins
// over the configuration, and that over the environment.
func (e *env) settings() (etcdkv.Settings, string, error) {
	s := etcdkv.Settings{Files: e.files, Username: e.user}
	if e.etcd != "" {
		s.Endpoints = strings.Split(e.etcd, ",")
	}
	prefix := e.prefix
	if e.config != "" {
		cfg, _, err := e.load()
		if err != nil {
			return s, "", err
		}
		c := cfg.Etcd
		if c.Embedded != "" {
			c.Endpoints = []string{defaultEtcd}
		}
		s = s.Or(etcdkv.Settings{
			Endpoints: c.Endpoints, Files: etcdkv.TLSFiles(c.TLS), Username: c.Username, Password: c.Password.Reveal(),
		})
		prefix = cmp.Or(prefix, c.Prefix)
	}
	s = s.Or(etcdkv.Environment(os.Getenv)).Or(etcdkv.Settings{Endpoints: []string{defaultEtcd}})
	return s, prefix, nil
}

// load reads the configuration, with the notes on it.
func (e *env) load() (*config.Config, []config.Note, error) {
	var in config.Input
	in.Env = os.LookupEnv
	var err error
	if in.Main, err = source(e.config); err != nil {
		return nil, nil, err
	}
	if e.secure != "" {
		secure, err := source(e.secure)
		if err != nil {
			return nil, nil, err
		}
		in.Secure = &secure
	}
	return config.Parse(in)
}

func source(name string) (config.Source, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return config.Source{}, fmt.Errorf("read the configuration: %w", err)
	}
	return config.Source{Name: name, Data: data}, nil
}

// snapshot reads all records.
func (e *env) snapshot(ctx context.Context) (s *pool.Snapshot, err error) {
	err = e.open(ctx, func(c *conn) error {
		s, err = c.Read(ctx)
		return err
	})
	return s, err
}

// who names the operator for timelines.
func who() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "poolctl"
}
