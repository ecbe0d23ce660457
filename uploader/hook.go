package uploader

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	// hookSays is how much of what a hook prints is kept.
	hookSays = 1 << 10
	// hookGrace is how long a hook that was killed may hold its output open.
	hookGrace = 5 * time.Second
)

// hook runs the provider's program on an upload that is as it should be, called
// as nodepool calls it. What it refuses fails and is deleted. Whoever goes on
// after a crash runs it again.
func (t *transfer) hook(ctx context.Context) error {
	program := t.provider.PostUploadHook
	if program == "" {
		return nil
	}
	var said last
	cmd := exec.CommandContext(ctx, program, t.provider.Name, t.record.ExternalID, t.artifact().Path) //nolint:gosec // it is configured
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = hookGrace
	err := cmd.Run()
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	if err != nil {
		return fmt.Errorf("post-upload-hook: %w: %s", err, strings.TrimSpace(string(said)))
	}
	return nil
}

// last keeps the end of what is written to it.
type last []byte

// Write keeps the end of p, and of what came before as much as fits.
func (l *last) Write(p []byte) (int, error) {
	*l = append(*l, p...)
	*l = (*l)[max(0, len(*l)-hookSays):]
	return len(p), nil
}
