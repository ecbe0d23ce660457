package uploader

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"poold/pool"
)

// hookScript writes a hook.
func hookScript(t *testing.T, lines string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+lines+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// The hook is called as nodepool calls it, once for each upload, when the image
// is there and before it serves.
func TestHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		calls := filepath.Join(t.TempDir(), "calls")
		b.provider.PostUploadHook = hookScript(t, `echo "$#: $1 $2 $3" >> `+calls)
		build := b.build("a", "1")
		defer b.run()()
		pass(time.Minute)
		u := b.want("a", "1", pool.UploadReady)
		data, err := os.ReadFile(calls)
		if want := fmt.Sprintf("3: pr %s %s\n", u.ExternalID, build.Artifacts[0].Path); err != nil || string(data) != want {
			t.Errorf("called with %q, %v, want %q", data, err, want)
		}
	})
}

// An upload that the hook refuses fails with what it said, and its image goes.
func TestHookRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		b.provider.PostUploadHook = hookScript(t, "yes filler | head -n 2000\necho 'no boot loader' >&2\nexit 3")
		b.build("a", "1")
		defer b.run()()
		pass(20 * time.Second)
		u := b.want("a", "1", pool.UploadDeleted)
		if !strings.Contains(u.Error, "post-upload-hook: exit status 3") || !strings.HasSuffix(u.Error, "no boot loader") || len(u.Error) > 2*hookSays {
			t.Errorf("failed with %q", u.Error)
		}
		b.exactly()
	})
}

// A hook that hangs is killed with all it started when the upload ends.
func TestHookHangs(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	u := &Uploader{provider: pool.Provider{PostUploadHook: hookScript(t, "sleep 1000 &\necho $! > "+pids+".new; mv "+pids+".new "+pids+"\nwait")}}
	tr := &transfer{
		Uploader: u, record: &pool.Upload{Format: "raw"},
		build: &pool.Build{Artifacts: []pool.Artifact{{Format: "raw"}}},
	}
	ended := errors.New("not within the upload timeout")
	ctx, cancel := context.WithCancelCause(t.Context())
	result := make(chan error, 1)
	go func() { result <- tr.hook(ctx) }()
	data := awaitFile(t, pids)
	cancel(ended)
	if err := <-result; !errors.Is(err, ended) {
		t.Errorf("returned %v", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(data))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); alive(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("what the hook started lives on")
		}
	}
}

// alive tells whether a process is there and not dead already.
func alive(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func awaitFile(t *testing.T, path string) string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if data, err := os.ReadFile(path); err == nil {
			return string(data)
		}
		if time.Now().After(deadline) {
			t.Fatal(path + " never appears")
		}
	}
}
