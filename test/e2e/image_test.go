package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"poold/test/demo"
)

// story is what `poolctl image show -o json` says, as far as it matters here.
type story struct {
	Builds []build `json:"builds"`
}

type build struct {
	ID        string `json:"id"`
	State     string `json:"state"`
	Withdrawn string `json:"withdrawn"`
	Uploads   []struct {
		Provider string `json:"provider"`
		State    string `json:"state"`
		Timeline []struct {
			State string `json:"state"`
		} `json:"timeline"`
	} `json:"uploads"`
}

func (w *world) story() story {
	w.t.Helper()
	var s story
	out := w.poolctl(exitDone, "image", "show", demo.Small, "-o", "json")
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	return s
}

// serving waits until the newest build that nobody withdrew is ready in every
// cloud.
func (w *world) serving(what string) build {
	w.t.Helper()
	var newest build
	w.await(what+" serves everywhere", answerLimit, func() (string, bool) {
		builds := w.story().Builds
		at := slices.IndexFunc(builds, func(b build) bool { return b.Withdrawn == "" })
		if at < 0 {
			return "there is none", false
		}
		newest = builds[at]
		ready := 0
		for _, u := range newest.Uploads {
			if u.State == "ready" {
				ready++
			}
		}
		return newest.ID + " " + newest.State, ready == len(w.clouds)
	})
	return newest
}

// A build that an operator pauses gives way: nodes are made from another, and
// the idle ones of it go. In a provider with a canary it served only after one
// was reached.
func TestRollBack(t *testing.T) {
	t.Parallel()
	w, d := startDemo(t)
	w.awaitMinReady()
	bad := w.serving("a build")
	for _, u := range bad.Uploads {
		var states []string
		for _, e := range u.Timeline {
			states = append(states, e.State)
		}
		want := "pending uploading ready"
		if u.Provider == "demo-west" {
			want = "pending uploading trial ready"
		}
		if got := strings.Join(states, " "); got != want {
			t.Errorf("the upload to %s was %q, want %q", u.Provider, got, want)
		}
	}
	w.contains(w.poolctl(exitDone, "image", "logs", demo.Small), bad.ID)
	w.poolctl(exitDone, "image", "pause", demo.Small+"/"+bad.ID, "--reason", "a test")
	if next := w.serving("another build"); next.ID == bad.ID {
		t.Fatalf("the newest build is still %s", bad.ID)
	}
	w.await("no idle node is of the bad build", answerLimit, func() (string, bool) {
		out := w.poolctl(exitDone, "list", "--state", "ready", "-o", "json")
		return out, !strings.Contains(out, bad.ID)
	})
	s := w.story()
	at := slices.IndexFunc(s.Builds, func(b build) bool { return b.ID == bad.ID })
	if at < 0 || s.Builds[at].State != "ready" || !strings.HasSuffix(s.Builds[at].Withdrawn, "a test") {
		t.Errorf("the paused build is %+v", s.Builds)
	}
	w.poolctl(exitDone, "image", "unpause", demo.Small+"/"+bad.ID)
	stop(t, d.Process)
}
