package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"poold/pool"
	"poold/store"
)

// seedBuild writes a build of noble that has begun.
func seedBuild(t *testing.T, records *store.Store, id, log string) {
	t.Helper()
	b := &pool.Build{Image: "noble", ID: id, State: pool.BuildBuilding, Created: noon, Builder: "one", Log: log}
	if _, err := records.Apply(t.Context(), nil, pool.Write{By: pool.Builder, Builds: []pool.Change[pool.Build]{pool.Create(b)}}); err != nil {
		t.Fatal(err)
	}
}

// The pause of an image is a state that holds though nobody runs; that of a
// build is a command.
func TestImagePause(t *testing.T) {
	name, _, records := prefix(t)
	seedBuild(t, records, "1", "")
	serve(t, records, obey)
	for _, c := range []struct {
		line, paused string
	}{
		{"image pause noble --reason broken", "broken"},
		{"image pause noble --reason again", "broken"},
		{"image unpause noble", ""},
		{"image unpause noble", ""},
		{"image pause noble/1", ""},
		{"image unpause noble/1", ""},
	} {
		out, err := poolctl(t, append(strings.Fields(c.line), "--prefix", name)...)
		if want := strings.Fields(c.line)[2] + "\n"; err != nil || out != want {
			t.Errorf("%s: printed %q, %v", c.line, out, err)
		}
		s, err := records.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p := s.Pause("noble")
		if (p != nil) != (c.paused != "") || p != nil && (p.Reason != c.paused || p.By != who() || !p.At.Equal(noon)) {
			t.Errorf("after %s the pause is %+v, want %q", c.line, p, c.paused)
		}
	}
	s, err := records.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var verbs []pool.Verb
	for _, c := range s.Commands {
		if c.Target == "noble/1" {
			verbs = append(verbs, c.Verb)
		}
	}
	slices.Sort(verbs)
	if want := []pool.Verb{pool.VerbRestoreBuild, pool.VerbWithdrawBuild}; !slices.Equal(verbs, want) || len(s.Commands) != 6 {
		t.Errorf("commands %v, want %v", verbs, want)
	}
}

// A log that is on this machine is printed; of another it is said where it is.
func TestImageLogs(t *testing.T) {
	name, _, records := prefix(t)
	here := filepath.Join(t.TempDir(), "noble-1.log")
	if err := os.WriteFile(here, []byte("building\ndone\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	seedBuild(t, records, "1", here)
	seedBuild(t, records, "0", "/nowhere/noble-0.log")
	for _, which := range []string{"noble", "noble/1"} { // the newest; by name, of those of one time
		if out, err := poolctl(t, "image", "logs", which, "--prefix", name); err != nil || out != "building\ndone\n" {
			t.Errorf("%s: printed %q, %v", which, out, err)
		}
	}
	out, err := poolctl(t, "image", "logs", "noble/0", "--prefix", name)
	if err == nil || !strings.Contains(err.Error(), "on peer one it is, or was, /nowhere/noble-0.log") || out != "" {
		t.Errorf("elsewhere: printed %q, %v", out, err)
	}
}

// written is a place to write to that says when something was written.
type written struct{ more chan string }

func (w *written) Write(p []byte) (int, error) {
	w.more <- string(p)
	return len(p), nil
}

// What is watched is shown at once and again when it changes; to be interrupted
// is no failure.
func TestWatch(t *testing.T) {
	name, _, records := prefix(t)
	if err := seedUpload(t.Context(), records, "north", pool.UploadUploading); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	out := &written{more: make(chan string)}
	cmd := command(func() time.Time { return noon })
	cmd.SetOut(out)
	cmd.SetArgs([]string{"--etcd", endpoint, "--prefix", name, "upload", "list", "--watch", "-o", "name"})
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	if first := <-out.more; first != "noble/0001/north\n\n" {
		t.Errorf("first %q", first)
	}
	if err := seedUpload(t.Context(), records, "south"); err != nil {
		t.Fatal(err)
	}
	for text := range out.more {
		if strings.Contains(text, "south") {
			break
		}
	}
	cancel()
	for {
		select {
		case <-out.more: // one more may be on its way
			continue
		case err := <-ended:
			if err != nil {
				t.Errorf("interrupted: %v", err)
			}
		}
		break
	}
}
