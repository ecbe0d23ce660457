package openstack

import (
	"net/http"
	"sync"
	"testing"

	"go.uber.org/zap"

	"poold/cloud"
)

func nopLog() *zap.Logger { return zap.NewNop() }

// However many calls a revoked token fails, there is one new login, and each
// call that changes something is made once more and no more.
func TestRevokedTokenUnderManyCalls(t *testing.T) {
	const callers = 64
	var mu sync.Mutex
	served := 0
	s := newStub(t, "", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		served++
		mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
		say(w, `{"server": {}}`)
	})
	d := open(t, "ours", cloud.Open{})
	if err := d.Create(t.Context(), aBatch(1)); err != nil {
		t.Fatal(err)
	}
	for round := 2; round <= 4; round++ {
		s.accept("token-" + string(rune('0'+round)))
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				if err := d.Create(t.Context(), aBatch(1)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		tokens, _ := s.seen()
		mu.Lock()
		if tokens != round || served != 1+callers*(round-1) {
			t.Errorf("round %d: %d logins, %d creates were done, want %d and %d", round, tokens, served, round, 1+callers*(round-1))
		}
		mu.Unlock()
	}
}

// A service that says 401 by itself may have begun: a call that changes
// something is not made again, and the next one has a new token.
func TestRefusalAfterTheService(t *testing.T) {
	calls := 0
	s := newStub(t, "", func(w http.ResponseWriter, r *http.Request) {
		calls++
		if r.Header.Get("X-Auth-Token") == "token-1" {
			w.WriteHeader(http.StatusUnauthorized)
			say(w, `{"unauthorized": {"code": 401, "message": "neutron refused the token"}}`)
			return
		}
		if r.Method == http.MethodGet {
			say(w, `{"servers": []}`)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		say(w, `{"server": {}}`)
	})
	d := open(t, "ours", cloud.Open{})
	wantKind(t, "create", d.Create(t.Context(), aBatch(1)), cloud.Ambiguous)
	if tokens, _ := s.seen(); calls != 1 || tokens != 1 {
		t.Errorf("%d calls and %d logins, want one each", calls, tokens)
	}
	if err := d.Create(t.Context(), aBatch(1)); err != nil {
		t.Error(err)
	}
	if tokens, _ := s.seen(); calls != 2 || tokens != 2 {
		t.Errorf("%d calls and %d logins, want two each", calls, tokens)
	}
}

// A call that changes nothing is made again whoever refused it.
func TestRefusedLookIsMadeAgain(t *testing.T) {
	calls := 0
	s := newStub(t, "", func(w http.ResponseWriter, r *http.Request) {
		calls++
		if r.Header.Get("X-Auth-Token") == "token-1" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		say(w, `{"servers": []}`)
	})
	if _, err := open(t, "ours", cloud.Open{}).Instances(t.Context(), cloud.ListMark{}); err != nil {
		t.Error(err)
	}
	if tokens, _ := s.seen(); calls != 2 || tokens != 2 {
		t.Errorf("%d calls and %d logins, want two each", calls, tokens)
	}
}
