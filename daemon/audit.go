package daemon

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.uber.org/zap"

	"poold/event"
)

// audit appends what humans did, and who got which node, to a file: one event in
// JSON a line. What happened while the peer was down is added when it is back, as
// far as the records still tell of it.
type audit struct {
	file *os.File
	// last is when the newest event in the file happened, and opened when this
	// process opened it.
	last, opened time.Time
	// begun says that the past was added.
	begun bool
	log   *zap.Logger
}

// openAudit opens the file, or makes it.
func openAudit(name string, now time.Time, log *zap.Logger) (*audit, error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_APPEND|os.O_CREATE, ownerOnlyFile)
	if err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	a := &audit{file: file, opened: now.UTC().Truncate(time.Millisecond), log: log}
	if err := a.read(); err != nil {
		return nil, fmt.Errorf("read the audit log %s: %w", name, errors.Join(err, file.Close()))
	}
	return a, nil
}

// read finds out when the newest event happened. A last line that was cut off,
// as by a full disk, is ended, so that the next one is whole.
func (a *audit) read() error {
	lines := bufio.NewReader(a.file)
	for {
		line, err := lines.ReadBytes('\n')
		var e event.Event
		if json.Unmarshal(line, &e) == nil && e.At.After(a.last) {
			a.last = e.At
		}
		switch {
		case errors.Is(err, io.EOF) && len(line) > 0:
			_, err = a.file.WriteString("\n")
			return err
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// keep appends events. Nothing waits for it: where it cannot be written, the log
// says so.
func (a *audit) keep(events []event.Event) {
	var text []byte
	for i := range events {
		past := events[i].At.Before(a.opened)
		if !a.begun && (!past || !events[i].At.After(a.last)) {
			continue // written before, or without a time of its own
		}
		line, err := json.Marshal(events[i])
		if err != nil {
			continue // an event is made of words and numbers
		}
		text = append(append(text, line...), '\n')
	}
	a.begun = true
	if len(text) == 0 {
		return
	}
	if _, err := a.file.Write(text); err != nil {
		a.log.Error("audit log not written", zap.Error(err))
		return
	}
	if err := a.file.Sync(); err != nil {
		a.log.Error("audit log not written", zap.Error(err))
	}
}
