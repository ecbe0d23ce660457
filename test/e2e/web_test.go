package e2e

import (
	"bytes"
	"encoding/json"
	"regexp"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"poold/test/demo"
	"poold/test/protocol"
)

// The pages show what there is, in the shapes that were promised, and never
// how to reach a node that nobody uses.
func pages(w *world) {
	r := w.ask("web", protocol.Want{Labels: []string{demo.Small}})
	n := w.fulfilled(r, demo.Small)[0]
	used := w.serversOf(n)
	w.await("the pages show the node in use", answerLimit, func() (string, bool) {
		return "", w.node(n.ID).InterfaceIP == n.InterfaceIP
	})

	shown := bytes.NewBuffer(nil)
	for _, path := range []string{"/healthz", "/readyz", "/"} {
		shown.Write(w.page(path))
	}
	metrics := w.page("/metrics")
	shown.Write(metrics)
	for _, kind := range []string{"nodes", "requests", "images", "uploads", "providers", "labels", "peers"} {
		body := w.page("/api/v1/" + kind)
		shown.Write(body)
		var list struct {
			Items []map[string]any `json:"items"`
		}
		if err := json.Unmarshal(body, &list); err != nil || len(list.Items) == 0 {
			w.t.Errorf("%s: no items, %v: %s", kind, err, body)
		}
	}

	faults, err := promlint.New(bytes.NewReader(metrics)).Lint()
	if err != nil || len(faults) > 0 {
		w.t.Errorf("the metrics: %v %+v", err, faults)
	}
	w.hides(shown.String(), n.InterfaceIP)
	w.delete(r)
	w.awaitGone(used)
}

// hides checks that a text has the one address and no other server's.
func (w *world) hides(text, shown string) {
	w.t.Helper()
	has := func(ip string) bool {
		return regexp.MustCompile(`(^|[^0-9.])` + regexp.QuoteMeta(ip) + `($|[^0-9.])`).MatchString(text)
	}
	if !has(shown) {
		w.t.Errorf("the address in use, %s, is nowhere", shown)
	}
	idle := 0
	for _, s := range w.servers() {
		for _, a := range s.Addresses {
			if a.IP == shown {
				continue
			}
			idle++
			if has(a.IP) {
				w.t.Errorf("the address %s of %s, which nobody uses, is shown", a.IP, s.Name)
			}
		}
	}
	if idle < demo.SmallReady-1 {
		w.t.Errorf("only %d addresses were looked for", idle)
	}
}
