package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"poold/test/demo"
	"poold/test/protocol"
)

// The exit codes of poolctl that can be had in the demo.
const (
	exitDone     = 0
	exitFailed   = 1
	exitUsage    = 2
	exitNotFound = 4
	exitRefused  = 5
)

// poolctl runs poolctl, expects its exit code, and returns what it printed.
func (w *world) poolctl(code int, args ...string) string {
	w.t.Helper()
	out, _ := w.poolctlAs(nil, code, append([]string{"--etcd", w.etcd}, args...)...)
	return out
}

// poolctlAs is poolctl with more in its environment; it returns what it
// complains about as well.
func (w *world) poolctlAs(env []string, code int, args ...string) (printed, complaint string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), answerLimit)
	defer cancel()
	var out, problems bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "poolctl"), args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &out, &problems
	err := cmd.Run()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
		w.t.Fatalf("poolctl %s: %v, want exit code %d\n%s%s", strings.Join(args, " "), err, code, &out, &problems)
	}
	if code != exitDone && problems.Len() == 0 {
		w.t.Errorf("poolctl %s failed without a word", strings.Join(args, " "))
	}
	return out.String(), problems.String()
}

// poolctl shows what there is, asks for nodes and gives them back.
func poolctlShows(w *world) {
	var answer protocol.Answer
	out := w.poolctl(exitDone, "request", "create", "--label", demo.Small, "--client", "hand", "--id", "one", "--wait", "-o", "json")
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	if answer.State != "fulfilled" || len(answer.Nodes) != 1 {
		w.t.Fatalf("got %s", out)
	}
	n := answer.Nodes[0]
	w.reach(n)
	used := w.serversOf(n)

	w.contains(w.poolctl(exitDone, "list"), n.ID, demo.Small, demo.Large, "ready", "in-use")
	w.contains(w.poolctl(exitDone, "node", "show", n.ID), n.ID, n.InterfaceIP, "timeline", "pending", "building", "in-use")
	w.contains(w.poolctl(exitDone, "request", "list"), "hand", "one", "fulfilled", n.ID)
	w.contains(w.poolctl(exitDone, "image", "list"), demo.Small, "ready")

	w.poolctl(exitDone, "request", "delete", "hand/one")
	w.awaitGone(used)
	if out := w.poolctl(exitDone, "request", "list"); strings.Contains(out, "hand") {
		w.t.Errorf("the request is still listed:\n%s", out)
	}
}

// contains checks that a text has all the words.
func (w *world) contains(text string, words ...string) {
	w.t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			w.t.Errorf("no %q in:\n%s", word, text)
		}
	}
}

// The exit code says what happened, to scripts.
func exitCodes(w *world) {
	w.poolctl(exitUsage, "list", "--no-such-flag")
	w.poolctl(exitUsage, "list", "-o", "no-such-format")
	w.poolctl(exitUsage, "node", "show")
	w.poolctl(exitUsage, "request", "create")
	w.poolctl(exitNotFound, "node", "show", "no-such-node")
	w.poolctl(exitNotFound, "delete", "no-such-node")
	w.poolctl(exitNotFound, "request", "delete", "nobody/nothing")
	w.poolctl(exitFailed, "request", "create", "--label", "no-such-label", "--wait", "--client", "hand", "--id", "failed")
	w.poolctl(exitDone, "request", "delete", "hand/failed")

	r := w.ask("busy", protocol.Want{Labels: []string{demo.Small}})
	n := w.fulfilled(r, demo.Small)[0]
	used := w.serversOf(n)
	w.poolctl(exitRefused, "request", "create", "--client", "e2e", "--id", "busy", "--label", demo.Small)
	w.poolctl(exitRefused, "delete", n.ID)
	w.reach(n)
	w.poolctl(exitDone, "delete", "--force", n.ID)
	w.awaitGone(used)
	w.delete(r)
}
