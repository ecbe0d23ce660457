package daemon

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"poold/client"
	"poold/cloud/sim"
	"poold/cloud/sim/openstackapi"
	"poold/config"
	"poold/pool"
	"poold/store/kv/memkv"
)

// issuer is a cloud over HTTP that remembers the tokens that it gave out.
type issuer struct {
	http.Handler

	mu     sync.Mutex // guards tokens
	tokens []string
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.Handler.ServeHTTP(w, r)
	if token := w.Header().Get("X-Subject-Token"); token != "" && r.Method == http.MethodPost {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.tokens = append(i.tokens, token)
	}
}

func (i *issuer) issued() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.tokens
}

// While clients ask all the time the password changes again and again, and each
// time the old tokens cease to be good once the new password is in use. Every
// request is served, and no node is lost.
func TestCredentialsRotateUnderLoad(t *testing.T) {
	const clients, rotations, between = 4, 3, 6
	e := &economy{t: t, cloud: sim.New(sim.Config{Images: []string{"noble"}}, time.Now())}
	keystone := &issuer{Handler: openstackapi.New(time.Now, e.cloud)}
	server := httptest.NewServer(keystone)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "clouds.yaml")
	t.Setenv("OS_CLIENT_CONFIG_FILE", file)
	e.writeClouds(file, server.URL, "secret")
	cfg, _, err := config.Parse(config.Input{
		Main: config.Source{Name: "f", Data: fmt.Appendf(nil, economyConfig, "false", economyKey)},
	})
	if err != nil {
		t.Fatal(err)
	}
	d, db := newDaemon(cfg, Options{Log: zap.NewNop()}), memkv.New(time.Now())
	d.lookPause = 10 * time.Millisecond
	e.run(d, db)
	if e.client, err = client.New(db, "", "ci"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var served atomic.Int64
	var done atomic.Bool
	var load sync.WaitGroup
	for c := range clients {
		load.Go(func() {
			for i := 0; !done.Load(); i++ {
				if err := e.serve(ctx, fmt.Sprintf("%d-%d", c, i)); err != nil {
					t.Error(err)
					return
				}
				served.Add(1)
			}
		})
	}
	await := func(what string, is func() bool) {
		t.Helper()
		for !is() && !t.Failed() {
			if ctx.Err() != nil {
				t.Fatalf("%s: never", what)
			}
			pause(10 * time.Millisecond)
		}
	}
	for i := range rotations {
		had := served.Load()
		await("requests are served", func() bool { return served.Load() >= had+between })
		before := keystone.issued()
		password := fmt.Sprintf("secret-%d", i)
		e.cloud.SetPassword(password)
		e.writeClouds(file+".new", server.URL, password)
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
		await("the new password is used", func() bool { return len(keystone.issued()) > len(before) })
		for _, token := range before {
			e.cloud.Revoke(token)
		}
	}
	had := served.Load()
	await("requests are served", func() bool { return served.Load() >= had+between })
	done.Store(true)
	load.Wait()
	for _, n := range d.view.Load().Snapshot().Nodes {
		if n.Failure != "" {
			t.Errorf("%s failed: %s", n.ID, n.Reason)
		}
	}
	t.Logf("%d requests, %d logins", served.Load(), len(keystone.issued()))
}

// serve has one request served, and ends it.
func (e *economy) serve(ctx context.Context, id string) error {
	r, err := e.client.Create(ctx, id, pool.Request{Labels: []string{"noble"}, MaxLifetime: "1h"}, time.Minute)
	if err != nil {
		return fmt.Errorf("ask %s: %w", id, err)
	}
	a, err := r.Wait(ctx)
	if err != nil {
		return fmt.Errorf("wait for %s: %w", id, err)
	}
	if a.State != pool.AllocationFulfilled {
		return fmt.Errorf("%s is %s: %s", id, a.State, a.Error)
	}
	return r.Close(ctx)
}
