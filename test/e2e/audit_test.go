package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"poold/test/demo"
	"poold/test/proc"
	"poold/test/protocol"
)

// deed is a line of the audit log, as far as the test reads it.
type deed struct{ Kind, Name, To, By, Reason string }

// What humans do by poolctl and by the web port is in the audit log, once each, with
// who and why, over a restart as well; what is written there stays as it was.
func TestAudit(t *testing.T) {
	t.Parallel()
	const token = "a-token-that-nobody-guesses"
	site := demo.NewSite(t, poold(), root)
	dir := t.TempDir()
	log, tokens := filepath.Join(dir, "audit.log"), filepath.Join(dir, "tokens")
	if err := os.WriteFile(tokens, []byte("ann "+token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	site.Amend(func(text string) string { return text + "  audit-log: " + log + "\n  tokens: " + tokens + "\n" })
	w := &world{
		t: t, etcd: site.Etcd.Etcd, web: site.Web, clouds: site.Clouds.Clouds,
		needs: []*proc.Process{site.Run(poold()), site.Etcd.Process, site.Clouds.Process},
	}
	site.AwaitReady(w.needs[0])
	r := w.ask("watched", protocol.Want{Labels: []string{demo.Small}})
	n := w.fulfilled(r, demo.Small)[0]
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	by := me.Username
	w.poolctl(exitDone, "freeze", "--reason", "new switch")
	w.poolctl(exitDone, "unfreeze", "--reason", "it is in")
	w.poolctl(exitDone, "image", "pause", demo.Small, "--reason", "mirror")
	w.poolctl(exitDone, "node", "hold", n.ID, "--reason", "look", "--ttl", "1h")
	w.poolctl(exitRefused, "delete", n.ID)
	w.act(token, http.StatusOK, `{"verb":"image-unpause","target":"`+demo.Small+`","reason":"mended"}`)
	w.act(token, http.StatusConflict, `{"verb":"node-delete","target":"`+n.ID+`","reason":"in the way"}`)
	want := []deed{
		{"command", "freeze", "done", by, "new switch"},
		{"command", "unfreeze", "done", by, "it is in"},
		{"command", "image-pause " + demo.Small, "done", by, "mirror"},
		{"command", "node-hold " + n.ID, "done", by, "look"},
		{"command", "node-delete " + n.ID, "refused", by, "it is held: look"},
		{"command", "image-unpause " + demo.Small, "done", "ann", "mended"},
		{"command", "node-delete " + n.ID, "refused", "ann", "it is held: look"},
	}
	w.awaitDeeds(log, want...)
	before := logged(t, log)

	stop(t, w.needs[0])
	w.needs[0] = site.Run(poold())
	site.AwaitReady(w.needs[0])
	w.act(token, http.StatusOK, `{"verb":"node-unhold","target":"`+n.ID+`","reason":"seen"}`)
	w.awaitDeeds(log, append(want, deed{"command", "node-unhold " + n.ID, "done", "ann", "seen"})...)
	if !bytes.HasPrefix(logged(t, log), before) {
		t.Errorf("what was written is not as it was:\n%s\nbefore\n%s", logged(t, log), before)
	}
	w.delete(r)
}

// act does something through the web port, and expects a status.
func (w *world) act(token string, status int, wish string) {
	w.t.Helper()
	q, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.web+"/api/v1/actions", strings.NewReader(wish))
	if err != nil {
		w.t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Authorization", "Bearer "+token)
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		w.t.Fatal(err)
	}
	body, err := io.ReadAll(a.Body)
	if cerr := a.Body.Close(); err != nil || cerr != nil || a.StatusCode != status {
		w.t.Errorf("%s: status %d, want %d: %s, %v %v", wish, a.StatusCode, status, body, err, cerr)
	}
}

func logged(t *testing.T, log string) []byte {
	t.Helper()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// awaitDeeds waits until the audit log has each of some deeds, and fails if it has
// one more than once.
func (w *world) awaitDeeds(log string, want ...deed) {
	w.t.Helper()
	var times map[deed]int
	w.await("the audit log has what was done", answerLimit, func() (string, bool) {
		times = map[deed]int{}
		text := logged(w.t, log)
		for line := range bytes.Lines(text) {
			var d deed
			if json.Unmarshal(line, &d) == nil {
				times[d]++
			}
		}
		for _, d := range want {
			if times[d] == 0 {
				return string(text), false
			}
		}
		return "", true
	})
	for _, d := range want {
		if times[d] != 1 {
			w.t.Errorf("%+v is there %d times", d, times[d])
		}
	}
}
