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

// etcdVariable names etcd when no flag does.
const etcdVariable = "POOLD_ETCD"

// defaultEtcd is where the demo and a one-machine site have their etcd.
const defaultEtcd = "http://127.0.0.1:2379"

// env is what every command works with.
type env struct {
	etcd, config, secure, prefix, output string
	now                                  func() time.Time
}

func (e *env) flags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&e.etcd, "etcd", "", "etcd's URLs, separated by commas ("+etcdVariable+", or "+defaultEtcd+")")
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
	if e.secure != "" && e.config == "" {
		return fmt.Errorf("%w: -s goes with -c", errUsage)
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

// open connects to etcd, and does something with it. A flag wins over the
// configuration, and that over the environment.
func (e *env) open(ctx context.Context, use func(*conn) error) (err error) {
	var c config.Etcd
	if e.config != "" {
		cfg, _, err := e.load()
		if err != nil {
			return err
		}
		c = cfg.Etcd
	}
	tls, err := etcdkv.TLSFiles(c.TLS).Load()
	if err != nil {
		return err
	}
	endpoints := e.endpoints(c)
	db, err := etcdkv.Open(ctx, etcdkv.Config{
		Endpoints: endpoints, TLS: tls, Username: c.Username, Password: c.Password.Reveal(), Log: zap.NewNop(),
	})
	if err != nil {
		return fmt.Errorf("reach etcd at %s: %w", strings.Join(endpoints, ", "), err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	prefix := cmp.Or(e.prefix, c.Prefix)
	return use(&conn{Store: store.New(db, prefix, zap.NewNop()), db: db, prefix: prefix})
}

// endpoints says where etcd is.
func (e *env) endpoints(c config.Etcd) []string {
	named := os.Getenv(etcdVariable)
	switch {
	case e.etcd != "":
		return strings.Split(e.etcd, ",")
	case len(c.Endpoints) > 0:
		return c.Endpoints
	case c.Embedded == "" && named != "":
		return strings.Split(named, ",")
	}
	return []string{defaultEtcd}
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
