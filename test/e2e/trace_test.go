package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"poold/test/collector"
	"poold/test/demo"
	"poold/test/proc"
	"poold/test/protocol"
)

// One peer allocates and another launches: the trace of a request, and that of its
// node, are whole all the same, and each is told of by both.
func TestTraceOverTwoPeers(t *testing.T) {
	t.Parallel()
	c := collector.Start(t)
	site := demo.NewSite(t, poold(), root)
	site.Amend(func(text string) string {
		text = strings.ReplaceAll(text, "min-ready: 4", "min-ready: 0")
		return strings.ReplaceAll(text, "min-ready: 1", "min-ready: 0") + "name: front\nroles: [allocator, builder]\n"
	})
	back := site.Beside("back")
	back.Amend(func(text string) string {
		return strings.ReplaceAll(text, "roles: [allocator, launcher]", "roles: [launcher]\ntracing: {endpoint: '"+c.URL+"'}")
	})
	front := site.Run(poold(), "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL)
	behind := back.Run(poold())
	w := &world{
		t: t, etcd: site.Etcd.Etcd, web: site.Web, clouds: site.Clouds.Clouds,
		needs: []*proc.Process{front, behind, site.Etcd.Process, site.Clouds.Process},
	}
	site.AwaitReady(front)
	back.AwaitReady(behind)
	r := w.ask("traced", protocol.Want{Labels: []string{demo.Small}})
	node := w.fulfilled(r, demo.Small)[0]
	w.delete(r)
	of := func(root string, about map[string]string) (trace []collector.Span) {
		all := c.Spans()
		at := slices.IndexFunc(all, func(s collector.Span) bool {
			same := s.Parent == "" && strings.HasPrefix(s.Name, root)
			for name, value := range about {
				same = same && s.Attributes[name] == value
			}
			return same
		})
		for i := 0; at >= 0 && i < len(all); i++ {
			if all[i].Trace == all[at].Trace {
				trace = append(trace, all[i])
			}
		}
		return trace
	}
	boot := []string{"queued", "asked", "active", "addressed", "reachable"}
	for root, want := range map[string]struct {
		about map[string]string
		spans []string
	}{
		"request": {
			map[string]string{"poold.client": "e2e", "poold.request": "traced"},
			slices.Concat([]string{"request", "waiting"}, boot, []string{"idle", "handed-out", "released"}),
		},
		"node": {map[string]string{"poold.node": node.ID}, slices.Concat([]string{"node " + demo.Small}, boot, []string{"idle", "handed-out", "released"})},
	} {
		w.await("the trace of the "+root+" is whole", answerLimit, func() (string, bool) {
			var names []string
			for _, s := range of(root, want.about) {
				names = append(names, s.Name)
			}
			slices.Sort(names)
			return strings.Join(names, " "), slices.Equal(names, slices.Sorted(slices.Values(want.spans)))
		})
		whole(t, of(root, want.about))
	}
}

// whole checks that each span of a trace lies within another one of it, and that
// both peers told of some.
func whole(t *testing.T, trace []collector.Span) {
	t.Helper()
	peers, ids := map[string]bool{}, map[string]collector.Span{}
	for _, s := range trace {
		peers[s.Peer], ids[s.ID] = true, s
	}
	if !peers["front"] || !peers["back"] {
		t.Errorf("told of by %v only", peers)
	}
	for _, s := range trace {
		if _, there := ids[s.Parent]; s.Parent != "" && !there {
			t.Errorf("%s is in a span that nobody told of", s.Name)
		}
		if s.End.Before(s.Begin) || s.End.Sub(s.Begin) > time.Hour {
			t.Errorf("%s took from %v to %v", s.Name, s.Begin, s.End)
		}
	}
}
