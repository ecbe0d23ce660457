// Package etcdkv is [kv.KV] on a real etcd, version 3.4 or later.
//
// Calls may be made from any goroutine. None of them retries a change: what
// etcd's client cannot know to be done or not done is kv.ErrUnknown, and the
// caller repeats the same transaction. Reads are repeated by etcd's client
// while no server answers, within the time of one call.
package etcdkv

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"poold/store/kv"
)

const (
	// callTimeout bounds one call, so that a server that accepts and never
	// answers costs seconds. It is longer than etcd itself waits for a
	// quorum.
	callTimeout = 15 * time.Second
	// pageSize is how many keys one page of a list has.
	pageSize = 1000
	// pingEvery is how often a silent connection is probed while something is
	// awaited on it; etcd refuses clients that ping more often than every 5 s,
	// or that wait for nothing.
	pingEvery = 10 * time.Second
	// pingTimeout is how long a probe waits before the connection is dropped.
	pingTimeout = 5 * time.Second
	// defaultDialTimeout is Config.DialTimeout if it is 0.
	defaultDialTimeout = 5 * time.Second
)

// errCallTimeout is the cause of the end of a call's context.
var errCallTimeout = errors.New("etcd did not answer in time")

// Config says where etcd is and how to speak to it.
type Config struct {
	Endpoints []string
	// TLS is nil for plain text.
	TLS *tls.Config
	// Username and Password are empty without etcd's own authentication.
	Username, Password string
	// DialTimeout bounds the first authentication; 0 is 5 s.
	DialTimeout time.Duration
	// Log is where etcd's client logs to; nil is nowhere.
	Log *zap.Logger
}

// KV is a connection to an etcd cluster. It is safe for concurrent use.
type KV struct {
	client *clientv3.Client
	// login is for logins alone, nil without a user.
	login     *clientv3.Client
	lease     etcdserverpb.LeaseClient
	endpoints []string
	// stream names the stream that watches share.
	stream atomic.Int64
}

var _ kv.KV = (*KV)(nil)

// Open makes a connection. Without a user name it does not wait for etcd: an
// etcd that is away makes the calls fail, not Open. The connection outlives
// ctx; end it with [KV.Close].
func Open(ctx context.Context, cfg Config) (*KV, error) {
	if len(cfg.Endpoints) == 0 {
		return nil, errors.New("open etcd: no endpoints")
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open etcd: %w", context.Cause(ctx))
	}
	log := cfg.Log
	if log == nil {
		log = zap.NewNop()
	}
	dial := cfg.DialTimeout
	if dial == 0 {
		dial = defaultDialTimeout
	}
	ours := clientv3.Config{
		Endpoints: cfg.Endpoints, TLS: cfg.TLS,
		DialTimeout: dial, DialKeepAliveTime: pingEvery, DialKeepAliveTimeout: pingTimeout,
		Logger: log, Context: context.WithoutCancel(ctx),
		DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(markUnsent)},
	}
	k := &KV{endpoints: cfg.Endpoints}
	if cfg.Username != "" {
		login, err := clientv3.New(ours)
		if err != nil {
			return nil, fmt.Errorf("open etcd: %w", err)
		}
		k.login = login
		ours.Username, ours.Password = cfg.Username, cfg.Password
		ours.DialOptions = []grpc.DialOption{grpc.WithChainUnaryInterceptor(logInOver(login), markUnsent)}
	}
	client, err := clientv3.New(ours)
	if err != nil {
		return nil, fmt.Errorf("open etcd: %w", errors.Join(err, k.Close()))
	}
	k.client = client
	// etcd's own KeepAliveOnce repeats without a pause while no server
	// answers, so renewals are sent here, one at a time.
	k.lease = etcdserverpb.NewLeaseClient(client.ActiveConnection())
	return k, nil
}

// logInOver sends logins over a connection that shows no token. With a token
// that is over, etcd 3.4 refuses them too, and etcd's client tries to mend that
// by logging in, without end (https://github.com/etcd-io/etcd/pull/12549).
func logInOver(login *clientv3.Client) grpc.UnaryClientInterceptor {
	return func(
		ctx context.Context, method string, req, reply any, cc *grpc.ClientConn,
		invoker grpc.UnaryInvoker, opts ...grpc.CallOption,
	) error {
		if method == etcdserverpb.Auth_Authenticate_FullMethodName {
			return login.ActiveConnection().Invoke(ctx, method, req, reply, opts...)
		}
		return invoker(ctx, method, req, reply, cc, opts...)
	}
}

// Close ends the connection and every watch.
func (k *KV) Close() error {
	var all error
	for _, c := range []*clientv3.Client{k.client, k.login} {
		if c == nil {
			continue
		}
		if err := c.Close(); err != nil && !errors.Is(err, context.Canceled) {
			all = errors.Join(all, fmt.Errorf("close etcd: %w", err))
		}
	}
	return all
}

// Get implements kv.KV.
func (k *KV) Get(ctx context.Context, key string) (kv.Item, error) {
	ctx, cancel := withCallTimeout(ctx)
	defer cancel()
	resp, err := k.client.Get(ctx, key)
	if err != nil {
		return kv.Item{}, fmt.Errorf("get %s: %w", key, readError(ctx, err))
	}
	if len(resp.Kvs) == 0 {
		return kv.Item{}, fmt.Errorf("get %s: %w", key, kv.ErrNotFound)
	}
	return item(resp.Kvs[0]), nil
}

// List implements kv.KV. It reads in pages, all at the revision of the first.
func (k *KV) List(ctx context.Context, prefix string) ([]kv.Item, int64, error) {
	for {
		items, revision, err := k.listOnce(ctx, prefix)
		if errors.Is(err, kv.ErrCompacted) && ctx.Err() == nil {
			continue // compaction overtook the pages: only a new revision helps
		}
		return items, revision, err
	}
}

func (k *KV) listOnce(ctx context.Context, prefix string) ([]kv.Item, int64, error) {
	from, end := prefix, clientv3.GetPrefixRangeEnd(prefix)
	if prefix == "" {
		from, end = "\x00", "\x00"
	}
	var items []kv.Item
	var revision int64
	for {
		resp, err := k.page(ctx, from, end, revision)
		if err != nil {
			return nil, 0, fmt.Errorf("list %s: %w", prefix, err)
		}
		if revision == 0 {
			revision = resp.Header.GetRevision()
			items = make([]kv.Item, 0, resp.Count)
		}
		for _, pair := range resp.Kvs {
			items = append(items, item(pair))
		}
		if !resp.More || len(resp.Kvs) == 0 {
			return items, revision, nil
		}
		from = items[len(items)-1].Key + "\x00"
	}
}

func (k *KV) page(ctx context.Context, from, end string, revision int64) (*clientv3.GetResponse, error) {
	ctx, cancel := withCallTimeout(ctx)
	defer cancel()
	resp, err := k.client.Get(ctx, from, clientv3.WithRange(end), clientv3.WithRev(revision), clientv3.WithLimit(pageSize))
	if err != nil {
		return nil, readError(ctx, err)
	}
	return resp, nil
}

// Commit implements kv.KV.
func (k *KV) Commit(ctx context.Context, txn kv.Txn) (int64, bool, error) {
	if err := txn.Validate(); err != nil {
		return 0, false, fmt.Errorf("commit: %w", err)
	}
	if ctx.Err() != nil {
		return 0, false, fmt.Errorf("commit: %w: %w", kv.ErrUnavailable, context.Cause(ctx))
	}
	conds := make([]clientv3.Cmp, 0, len(txn.If))
	for _, c := range txn.If {
		conds = append(conds, cond(c))
	}
	ops := make([]clientv3.Op, 0, len(txn.Then))
	for _, o := range txn.Then {
		ops = append(ops, op(o))
	}
	ctx, cancel := withCallTimeout(ctx)
	defer cancel()
	resp, err := k.client.Txn(ctx).If(conds...).Then(ops...).Commit()
	if err != nil {
		return 0, false, fmt.Errorf("commit: %w", changeError(ctx, err))
	}
	return resp.Header.GetRevision(), resp.Succeeded, nil
}

func cond(c kv.Cond) clientv3.Cmp {
	if c.Field == kv.CreateRevision {
		return clientv3.Compare(clientv3.CreateRevision(c.Key), "=", c.Value)
	}
	return clientv3.Compare(clientv3.ModRevision(c.Key), "=", c.Value)
}

func op(o kv.Op) clientv3.Op {
	switch {
	case o.Delete:
		return clientv3.OpDelete(o.Key)
	case o.KeepLease:
		return clientv3.OpPut(o.Key, string(o.Value), clientv3.WithIgnoreLease())
	}
	return clientv3.OpPut(o.Key, string(o.Value), clientv3.WithLease(clientv3.LeaseID(o.Lease)))
}

func item(p *mvccpb.KeyValue) kv.Item {
	return kv.Item{
		Key: string(p.Key), Value: p.Value, CreateRevision: p.CreateRevision,
		ModRevision: p.ModRevision, Lease: kv.LeaseID(p.Lease),
	}
}

// Grant implements kv.KV.
func (k *KV) Grant(ctx context.Context, ttl time.Duration) (kv.LeaseID, time.Duration, error) {
	ctx, cancel := withCallTimeout(ctx)
	defer cancel()
	resp, err := k.client.Grant(ctx, int64((ttl+time.Second-1)/time.Second))
	if err != nil {
		return 0, 0, fmt.Errorf("grant a lease: %w", changeError(ctx, err))
	}
	return kv.LeaseID(resp.ID), time.Duration(resp.TTL) * time.Second, nil
}

// Renew implements kv.KV.
func (k *KV) Renew(ctx context.Context, id kv.LeaseID) (time.Duration, error) {
	ctx, cancel := withCallTimeout(ctx)
	defer cancel() // ends the stream, too
	ttl, err := k.renew(ctx, id)
	if err != nil {
		return 0, fmt.Errorf("renew a lease: %w", changeError(ctx, err))
	}
	if ttl <= 0 {
		return 0, fmt.Errorf("renew a lease: %w", kv.ErrNotFound)
	}
	return ttl, nil
}

func (k *KV) renew(ctx context.Context, id kv.LeaseID) (time.Duration, error) {
	stream, err := k.lease.LeaseKeepAlive(clientv3.WithRequireLeader(ctx), grpc.WaitForReady(false))
	if err != nil {
		return 0, err
	}
	if err := stream.Send(&etcdserverpb.LeaseKeepAliveRequest{ID: int64(id)}); err != nil {
		return 0, err
	}
	resp, err := stream.Recv()
	if err != nil {
		return 0, err
	}
	return time.Duration(resp.TTL) * time.Second, nil
}

// Revoke implements kv.KV.
func (k *KV) Revoke(ctx context.Context, id kv.LeaseID) error {
	ctx, cancel := withCallTimeout(ctx)
	defer cancel()
	_, err := k.client.Revoke(ctx, clientv3.LeaseID(id))
	if err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("revoke a lease: %w", changeError(ctx, err))
	}
	return nil
}

func withCallTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, callTimeout, errCallTimeout)
}
