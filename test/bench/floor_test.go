//go:build bench

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"poold/store/kv"
)

// echo is the least that an answer over etcd can take: requests are keys, and
// whoever hears of one in a watch writes the answer, with no thought, no
// comparison, and of the size that answers have. It returns how long each of n
// took, width at a time, with pauses in between as those who are compared with
// it have them: what idles wakes up more slowly.
func (w *site) echo(n, width int, pause time.Duration) times {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	const asks, answers = "/floor/asks/", "/floor/answers/"
	_, revision, err := w.kv.List(ctx, asks)
	if err != nil {
		w.t.Fatal(err)
	}
	value := bytes.Repeat([]byte("x"), 700)
	go func() {
		slots := make(chan struct{}, 64)
		for b := range w.kv.Watch(ctx, asks, revision) {
			for _, e := range b.Events {
				slots <- struct{}{}
				go func() {
					defer func() { <-slots }()
					key := answers + strings.TrimPrefix(e.Item.Key, asks)
					_, _, _ = w.kv.Commit(ctx, kv.Txn{Then: []kv.Op{kv.Put(key, value)}}) // the row ends without it
				}()
			}
		}
	}()
	var mu sync.Mutex
	waiting := map[string]chan time.Time{}
	go func() {
		for b := range w.kv.Watch(ctx, answers, revision) {
			now := time.Now()
			mu.Lock()
			for _, e := range b.Events {
				if ch := waiting[strings.TrimPrefix(e.Item.Key, answers)]; ch != nil {
					ch <- now
				}
			}
			mu.Unlock()
		}
	}()
	all := make(times, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range width {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				id := fmt.Sprintf("%d-%d", revision, i)
				ch := make(chan time.Time, 1)
				mu.Lock()
				waiting[id] = ch
				mu.Unlock()
				began := time.Now()
				if _, _, err := w.kv.Commit(ctx, kv.Txn{Then: []kv.Op{kv.Put(asks+id, value[:100])}}); err != nil {
					w.t.Error(err)
					return
				}
				all[i] = (<-ch).Sub(began)
				time.Sleep(upTo(pause))
			}
		})
	}
	wg.Wait()
	slices.Sort(all)
	return all
}

// user talks to the simulated cloud as one that has no poold.
type user struct {
	t             testing.TB
	base, token   string
	flavor, image string
	client        *http.Client
}

func (s *simulator) user() *user {
	s.t.Helper()
	u := &user{
		t: s.t, base: s.url + "/R0/compute/v2.1",
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}},
	}
	auth := fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"ci","password":%q,`+
		`"domain":{"name":"Default"}}}},"scope":{"project":{"name":"ci","domain":{"name":"Default"}}}}}`, password)
	answer, _ := u.call(http.MethodPost, s.url+"/v3/auth/tokens", auth)
	u.token = answer.Get("X-Subject-Token")
	var flavors struct{ Flavors []struct{ ID string } }
	_, text := u.call(http.MethodGet, u.base+"/flavors/detail", "")
	if err := json.Unmarshal(text, &flavors); err != nil {
		s.t.Fatal(err)
	}
	var images []struct{ ID string }
	s.ask(http.MethodGet, "/sim/images", 0, nil, &images)
	u.flavor, u.image = flavors.Flavors[0].ID, images[0].ID
	return u
}

// call makes one call, which must work.
func (u *user) call(method, url, body string) (http.Header, []byte) {
	u.t.Helper()
	req, err := http.NewRequestWithContext(u.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		u.t.Error(err)
		return nil, nil
	}
	req.Header.Set("X-Auth-Token", u.token)
	req.Header.Set("Content-Type", "application/json")
	answer, err := u.client.Do(req)
	if err != nil {
		u.t.Error(err)
		return nil, nil
	}
	defer func() { _ = answer.Body.Close() }() // it is read to its end
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= http.StatusBadRequest {
		u.t.Errorf("%s %s: %d, %v: %s", method, url, answer.StatusCode, err, text)
	}
	return answer.Header, text
}

// lifecycles makes and deletes n servers one by one, width at a time, without
// poold: four calls each, the boot awaited blindly. It returns how many a
// second it did.
func (s *simulator) lifecycles(n, width int, boot time.Duration) float64 {
	s.t.Helper()
	u := s.user()
	began := time.Now()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range width {
		wg.Go(func() {
			for next.Add(1) <= int64(n) {
				at, _ := u.call(http.MethodPost, u.base+"/servers", fmt.Sprintf(
					`{"server":{"name":"floor","flavorRef":%q,"imageRef":%q,"networks":"auto"}}`, u.flavor, u.image))
				time.Sleep(boot)
				u.call(http.MethodGet, at.Get("Location"), "")
				u.call(http.MethodDelete, at.Get("Location"), "")
				_, _ = u.call(http.MethodGet, u.base+"/servers/detail?limit=1", "")
			}
		})
	}
	wg.Wait()
	if s.t.Failed() {
		s.t.FailNow()
	}
	return float64(n) / time.Since(began).Seconds()
}
