package proc

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const (
	// patience is how long a program may take to end after SIGTERM.
	patience = time.Minute
	// tailLines is how much of a program's output a failed test shows.
	tailLines = 200
)

// Process is a program of a test. Its methods may be called from the goroutine
// of the test only, those without a comment on that excepted.
type Process struct {
	t      testing.TB
	name   string
	log    string
	begin  int64 // of its output in the file
	cmd    *exec.Cmd
	exited chan struct{} // closed once err holds what Wait returned
	err    error
	// expected says that the program ended as the test wanted it to.
	expected bool
}

// Start runs a program until it is ended, or until the test ends, with its
// output at the end of the file name.log in dir. When the test fails the end
// of the output is shown, unless the test ended the program before. Use
// exec.Command and not exec.CommandContext: the test's context ends before the
// program is asked to.
func Start(tb testing.TB, dir, name string, cmd *exec.Cmd) *Process {
	tb.Helper()
	p := &Process{t: tb, name: name, log: filepath.Join(dir, name+".log"), cmd: cmd, exited: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	if p.begin, err = out.Seek(0, io.SeekEnd); err == nil {
		err = cmd.Start()
	}
	if err != nil {
		tb.Fatal(errors.Join(err, out.Close()))
	}
	go func() {
		defer close(p.exited)
		defer func() { _ = out.Close() }() // the program wrote through its own descriptor
		p.err = cmd.Wait()
	}()
	tb.Cleanup(func() {
		p.Terminate()
		if tb.Failed() && !p.expected {
			tb.Logf("the end of %s's output:\n%s", name, p.Tail())
		}
	})
	return p
}

// Stop ends the program the way systemd does, and fails the test unless it
// agrees with exit status 0.
func (p *Process) Stop() {
	p.t.Helper()
	p.Terminate()
	p.expected = p.err == nil
	if p.err != nil {
		p.t.Fatalf("%s, told to stop, ended with: %v", p.name, p.err)
	}
}

// Terminate sends SIGTERM and, if that has no effect, fails the test and kills
// the program.
func (p *Process) Terminate() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
		p.t.Errorf("%s did not stop within %v of SIGTERM", p.name, patience)
		p.Kill()
	}
}

// Kill ends the program with SIGKILL and returns when it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.exited
	p.expected = p.Killed()
}

// Pid is the program's process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Exited is closed when the program has ended. It may be used by any goroutine.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Killed tells, of a program that has ended, whether SIGKILL ended it.
func (p *Process) Killed() bool {
	<-p.exited
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// Alive fails the test when the program has ended.
func (p *Process) Alive() {
	p.t.Helper()
	p.needed(p.t)
}

// needed fails a test when the program has ended. It may be used by any
// goroutine.
func (p *Process) needed(tb testing.TB) {
	tb.Helper()
	select {
	case <-p.exited:
		tb.Fatalf("%s ended by itself: %v", p.name, p.err)
	default:
	}
}

// Output is everything that the program has printed.
func (p *Process) Output() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[p.begin:])
}

// Tail is the last part of the program's output.
func (p *Process) Tail() string {
	lines := bytes.Split([]byte(p.Output()), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-tailLines):], []byte("\n")))
}
