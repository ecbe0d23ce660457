package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"poold/internal/golden"
	"poold/pool"
	"poold/store"
	"poold/store/kv/etcdkv"
	"poold/test/etcd"
)

// noon is when the tests look.
var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

// endpoint is where the one etcd of all tests listens. Below the usual prefix it
// has the records of seed, which no test may change; see [prefix].
var endpoint string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "poolctl-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	served, stop, err := etcd.Serve(dir)
	if err != nil {
		panic(err)
	}
	defer stop()
	endpoint = "http://" + served
	if err := seed(context.Background()); err != nil {
		panic(err)
	}
	return m.Run()
}

// poolctl runs a command line and returns what it printed.
func poolctl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return bare(t, append([]string{"--etcd", endpoint}, args...)...)
}

// bare is poolctl without being told where etcd is.
func bare(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := command(func() time.Time { return noon })
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

var prefixes atomic.Int64

// prefix returns one that no other test uses, and the records below it.
func prefix(t *testing.T) (string, *etcdkv.KV, *store.Store) {
	t.Helper()
	db, err := etcdkv.Open(t.Context(), etcdkv.Config{Endpoints: []string{endpoint}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	// -count runs a test several times on the one etcd.
	name := fmt.Sprint("/", t.Name(), "-", prefixes.Add(1))
	return name, db, store.New(db, name, zap.NewNop())
}

// What people and scripts read is a contract: a change shows in the diff of a
// golden file.
func TestOutput(t *testing.T) {
	for name, line := range map[string]string{
		"help":                "",
		"node-list":           "list",
		"node-list-all":       "node list --all",
		"node-list-wide":      "list -o wide",
		"node-list-json":      "list -o json",
		"node-list-yaml":      "list -o yaml",
		"node-list-name":      "list -o name",
		"node-list-none":      "list --prefix /none",
		"node-list-none-json": "list --prefix /none -o json",
		"node-list-state":     "list --state ready --label noble --provider north -o name",
		"node-list-older":     "list --older-than 29m -o name",
		"node-list-other":     "list --provider south -o name",
		"node-list-ansible":   "list -o ansible",
		"node-delete-dry-run": "node delete n3 --dry-run",
		"node-delete-filter":  "node delete --label noble",
		"node-delete-force":   "node delete --label noble --force --dry-run -o name",
		"node-delete-none":    "node delete --label nobel --confirm 3",
		"node-hold-filter":    "node hold --provider north --dry-run -o name",
		"node-show":           "node show n3",
		"node-show-failed":    "node show n5",
		"node-show-json":      "node show n3 -o json",
		"request-list":        "request list",
		"request-list-json":   "request list -o json",
		"request-list-name":   "request list -o name",
		"request-show":        "request show zuul/100",
		"request-show-yaml":   "request show zuul/100 -o yaml",
		"image-list":          "image list",
		"image-list-wide":     "image list -o wide",
		"image-list-name":     "image list -o name",
		"image-list-json":     "image list --state ready -o json",
		"image-list-none":     "image list --image other",
		"image-show":          "image show noble",
		"image-show-json":     "image show noble/0001 -o json",
		"upload-list-json":    "upload list --provider south -o json",
		"upload-list-filters": "upload list --state ready --image noble --build 0001 -o name",
		"upload-show":         "upload show noble/0001/west",
		"upload-show-yaml":    "upload show noble/0001/south -o yaml",
		"upload-list":         "upload list",
		"upload-list-wide":    "upload list -o wide",
		"upload-list-name":    "upload list -o name",
		"provider-list":       "provider list",
		"provider-list-json":  "provider list -o json",
		"leak-list":           "leak list",
		"leak-list-wide":      "leak list --provider north -o wide",
		"leak-list-json":      "leak list -o json",
		"leak-list-name":      "leak list --provider south -o name",
		"label-list":          "label list",
		"label-list-name":     "label list -o name",
		"peer-list":           "peer list",
		"peer-list-yaml":      "peer list -o yaml",
		"event-list":          "event list",
		"event-list-wide":     "event list --kind node --request zuul/099 -o wide",
		"event-list-json":     "event list --since 40m --provider north --image noble -o json",
		"event-list-yaml":     "event list --name zuul/099 -o yaml",
		"event-list-name":     "event list --human -o name",
		"top":                 "top",
		"top-json":            "top -o json",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := poolctl(t, strings.Fields(line)...)
			if err != nil {
				t.Fatal(err)
			}
			golden.Equal(t, filepath.Join("testdata", name+".txt"), got)
		})
	}
}

func TestInstancesCountsOthersOfTheProject(t *testing.T) {
	s := &pool.Snapshot{
		Nodes: []*pool.Node{{Provider: "p", State: pool.NodeReady}, {Provider: "p", State: pool.NodeDeleted}},
		Quotas: []*pool.Quota{{
			Provider: "p", Limits: pool.Limits{Instances: 10}, Foreign: pool.Resources{Instances: 4},
		}},
	}
	if got := instances(providers(s)["p"]); got != "5 of 10" {
		t.Errorf("got %q, want one node of ours and four of others", got)
	}
	s.Quotas[0].Limits.Instances = pool.Unlimited
	if got := instances(providers(s)["p"]); got != "5" {
		t.Errorf("got %q without a limit", got)
	}
}

// Every wrong command line is refused before etcd is asked: the endpoint is
// one where nobody answers, which would take long to find out.
func TestUsage(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"list -o xml", "-o xml: it must be table, wide, json, yaml or name"},
		{"node show n1 -o xml", "-o xml"},
		{"list --state redy", "--state redy: it must be one of pending, building"},
		{"image list --state redy", "--state redy: it must be one of building, ready, failed"},
		{"upload list --state redy", "--state redy: it must be one of pending, uploading"},
		{"image delete", "requires at least 1 arg(s)"},
		{"list extra", "accepts 0 arg(s)"},
		{"nonsense", "unknown command"},
		{"node nonsense", "unknown command"},
		{"node show", "accepts 1 arg(s)"},
		{"delete", "name nodes, or choose them"},
		{"list --nonsense", "unknown flag"},
		{"list -s secure.yaml", "-s goes with -c"},
		{"request create", "which label?"},
		{"request create --label l --timeout x", "invalid argument"},
		{"request create --label l --client a/b", "client name"},
		{"request delete 100", "named CLIENT/ID"},
		{"request delete /100", "client name"},
		{"config check", "which configuration?"},
		{"request create --label l --client a -oz", "-o z"},
	} {
		_, err := bare(t, append([]string{"--etcd", "http://127.0.0.1:1"}, strings.Fields(c.line)...)...)
		if err == nil || !strings.Contains(err.Error(), c.want) || exitCode(err) != exitUsage {
			t.Errorf("poolctl %s: %v (exit code %d), want %q and %d", c.line, err, exitCode(err), c.want, exitUsage)
		}
	}
}

func TestExitCodes(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("wrapped: %w", err) }
	for _, c := range []struct {
		err  error
		want int
	}{
		{context.DeadlineExceeded, 1},
		{pool.ErrUnavailable, 1},
		{wrap(errUsage), 2},
		{wrap(fmt.Errorf("%w: %w", errPartly, pool.ErrNotFound)), 3},
		{wrap(pool.ErrNotFound), 4},
		{wrap(pool.ErrRefused), 5},
		{wrap(pool.ErrConflict), 5},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.want)
		}
	}
}

func TestNotFound(t *testing.T) {
	for _, line := range []string{
		"node show none", "request show zuul/none", "request delete zuul/none", "image show none", "image logs none/1",
		"upload show noble/0001/none", "upload retry noble/0001/none", "image pause none",
	} {
		if out, err := poolctl(t, strings.Fields(line)...); exitCode(err) != exitNotFound || out != "" {
			t.Errorf("poolctl %s: %q, %v, want exit code %d", line, out, err, exitNotFound)
		}
	}
}
