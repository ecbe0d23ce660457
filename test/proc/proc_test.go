package proc

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

// fake is a test that is expected to fail.
type fake struct {
	testing.TB

	said string
}

func (f *fake) Helper() {}

func (f *fake) Logf(string, ...any) {}

func (f *fake) Errorf(format string, args ...any) { f.said += fmt.Sprintf(format, args...) }

func (f *fake) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	runtime.Goexit()
}

// failure runs what should fail a test, and returns what the test said.
func failure(t *testing.T, do func(tb testing.TB)) string {
	t.Helper()
	f := &fake{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		do(f)
	}()
	<-done
	return f.said
}

func TestStopExpectsAgreement(t *testing.T) {
	for script, want := range map[string]string{
		"trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done": "",
		"trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done": "ended with: exit status 7",
	} {
		said := failure(t, func(tb testing.TB) {
			tb.Helper()
			p := Start(tb, t.TempDir(), "script", exec.Command("sh", "-c", script))
			Await(tb, "it is up", 10*time.Second, func() (string, bool) { return p.Output(), p.Output() == "up\n" }, p)
			p.Stop()
		})
		if (want == "") != (said == "") || !strings.Contains(said, want) {
			t.Errorf("%s: the test said %q, want %q", script, said, want)
		}
	}
}

func TestAwaitSaysWhatItWaitedFor(t *testing.T) {
	said := failure(t, func(tb testing.TB) {
		tb.Helper()
		Await(tb, "the moon", time.Millisecond, func() (string, bool) { return "a cloud", false })
	})
	if want := "waited 1ms for: the moon; last seen: a cloud"; said != want {
		t.Errorf("the test said %q, want %q", said, want)
	}
}

func TestAwaitNoticesADeadProgram(t *testing.T) {
	said := failure(t, func(tb testing.TB) {
		tb.Helper()
		p := Start(tb, t.TempDir(), "script", exec.Command("sh", "-c", "exit 3"))
		Await(tb, "anything", time.Minute, func() (string, bool) { return "", false }, p)
	})
	if !strings.Contains(said, "script ended by itself: exit status 3") {
		t.Errorf("the test said %q", said)
	}
}

func TestKilled(t *testing.T) {
	p := Start(t, t.TempDir(), "sleep", exec.Command("sleep", "60"))
	p.Kill()
	if !p.Killed() {
		t.Error("a killed program was not killed")
	}
	if p = Start(t, t.TempDir(), "true", exec.Command("true")); p.Killed() {
		t.Error("a program that ended by itself was killed")
	}
}

// A program that runs for the second time is not taken for the first.
func TestOutputIsOfThisRun(t *testing.T) {
	dir := t.TempDir()
	for _, word := range []string{"one", "two"} {
		p := Start(t, dir, "echo", exec.Command("echo", word))
		<-p.Exited()
		if p.Output() != word+"\n" {
			t.Errorf("got %q, want %q", p.Output(), word)
		}
	}
}
