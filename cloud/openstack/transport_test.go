package openstack

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"poold/cloud"
)

// turns is a gate that counts, and refuses the calls that come after some.
type turns struct {
	entered, left atomic.Int64
	most          int64
}

var errNoTurn = errors.New("no turn")

func (g *turns) Enter(context.Context, cloud.Call) (func(cloud.Outcome), error) {
	if g.entered.Load() == g.most {
		return nil, errNoTurn
	}
	g.entered.Add(1)
	return func(cloud.Outcome) { g.left.Add(1) }, nil
}

// Package net/http makes a call again when a connection that it had kept breaks.
// That, too, is a call: it waits for its turn, and without one it is not made.
func TestACallThatIsMadeAgainHasATurn(t *testing.T) {
	for _, c := range []struct {
		name string
		most int64
		want error
	}{
		{"there is a turn", 100, nil},
		{"there is none", 3, errNoTurn},
	} {
		t.Run(c.name, func(t *testing.T) {
			var cut atomic.Bool
			s := newStub(t, "", func(w http.ResponseWriter, _ *http.Request) {
				if cut.Swap(false) {
					panic(http.ErrAbortHandler)
				}
				say(w, `{"server": {"id": %q, "name": "n", "status": "ACTIVE"}}`, anID)
			})
			g := &turns{most: c.most}
			d := open(t, "ours", g)
			look := func() error {
				_, err := d.Instance(t.Context(), anID)
				return err
			}
			if err := look(); err != nil { // the connection is kept
				t.Fatal(err)
			}
			cut.Store(true)
			if err := look(); !errors.Is(err, c.want) {
				t.Errorf("the call ends with %v, want %v", err, c.want)
			}
			if cut.Load() {
				t.Error("no connection was cut")
			}
			tokens, calls := s.seen()
			if entered := g.entered.Load(); int64(tokens+len(calls)) != entered || g.left.Load() != entered {
				t.Errorf("%d logins and %d calls came, of which %d had a turn and %d ended", tokens, len(calls), entered, g.left.Load())
			}
		})
	}
}
