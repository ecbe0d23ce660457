//go:build lab

package lab

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"poold/test/protocol"
)

// request is a request of the site's CI system.
type request struct {
	*protocol.Request
	site   *site
	labels []string
}

// ask asks for nodes.
func (s *site) ask(t *testing.T, labels ...string) *request {
	t.Helper()
	id := strings.ToLower(rand.Text()[:8])
	r, err := s.ci.Ask(t.Context(), id, protocol.Want{Labels: labels}, 2*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return &request{r, s, labels}
}

// served waits for the nodes, and checks that they are what was asked for.
func (r *request) served(t *testing.T) []protocol.Node {
	t.Helper()
	var a protocol.Answer
	r.site.await(t, fmt.Sprintf("%s for %v is served", r.Name(), r.labels), long, func() (string, bool) {
		a = r.answer(t)
		return a.State + " " + show(a), a.State == "fulfilled"
	})
	if len(a.Nodes) != len(r.labels) {
		t.Fatalf("asked for %v, got %+v", r.labels, a.Nodes)
	}
	seen := map[string]bool{}
	for i, n := range a.Nodes {
		if n.Label != r.labels[i] || n.Provider != a.Nodes[0].Provider || n.AZ != a.Nodes[0].AZ || seen[n.ID] {
			t.Errorf("asked for %v of one provider and zone, got %+v", r.labels, a.Nodes)
		}
		seen[n.ID] = true
	}
	return a.Nodes
}

// waits waits until the request waits for a reason of a class.
func (r *request) waits(t *testing.T, class string) string {
	t.Helper()
	var text string
	r.site.await(t, fmt.Sprintf("%s for %v waits for %s", r.Name(), r.labels, class), long, func() (string, bool) {
		a := r.answer(t)
		if a.State == "fulfilled" {
			t.Fatalf("%s is served: %+v", r.Name(), a.Nodes)
		}
		for _, reason := range reasons(a) {
			if reason.Class == class {
				text = reason.Text
				return "", true
			}
		}
		return a.State + " " + show(a), false
	})
	return text
}

// answer reads the answer as it is now; that the request failed is not to be.
func (r *request) answer(t *testing.T) protocol.Answer {
	t.Helper()
	a, err := r.Answer(t.Context())
	if err != nil {
		return protocol.Answer{Error: err.Error()} // etcd may be away
	}
	if a.State == "failed" {
		t.Fatalf("%s for %v failed: %s", r.Name(), r.labels, a.Error)
	}
	return a
}

// fails waits until the request failed, and returns the error that it shows.
func (r *request) fails(t *testing.T) string {
	t.Helper()
	var a protocol.Answer
	r.site.await(t, fmt.Sprintf("%s for %v fails", r.Name(), r.labels), long, func() (string, bool) {
		var err error
		a, err = r.Answer(t.Context())
		return a.State + " " + show(a), err == nil && a.State == "failed"
	})
	return a.Error
}

// release gives the nodes back.
func (r *request) release(t *testing.T) {
	t.Helper()
	if err := r.Delete(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// reason is why a provider does not serve a request yet.
type reason struct{ Provider, Class, Text string }

func reasons(a protocol.Answer) []reason {
	var all []reason
	for _, text := range a.Reasons {
		var one reason
		if json.Unmarshal(text, &one) == nil {
			all = append(all, one)
		}
	}
	return all
}

func show(a protocol.Answer) string { return fmt.Sprintf("%+v %s", reasons(a), a.Error) }
