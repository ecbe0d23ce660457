package daemon

import (
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// A line is a message that can be read alone, and a field for each of its own.
func TestJournal(t *testing.T) {
	var message string
	var p journal.Priority
	var vars map[string]string
	other, _ := observer.New(zap.InfoLevel)
	log := zap.New(&journalCore{Core: other, send: func(m string, level journal.Priority, v map[string]string) error {
		message, p, vars = m, level, v
		return nil
	}})
	log.Named("launcher").With(zap.String("provider", "north")).Warn("node failed",
		zap.String("node-id", "a1"), zap.Duration("after", 90*time.Second), zap.Int("tries", 3),
		zap.Strings("why", []string{"x", "y"}), zap.Error(errors.New("two\nlines")))
	want := map[string]string{
		"SYSLOG_IDENTIFIER": "poold", "POOLD_LOGGER": "launcher", "POOLD_PROVIDER": "north", "POOLD_NODE_ID": "a1",
		"POOLD_AFTER": "1m30s", "POOLD_TRIES": "3", "POOLD_WHY": `["x","y"]`, "POOLD_ERROR": "two\nlines",
	}
	if !maps.Equal(vars, want) {
		t.Errorf("fields %q, want %q", vars, want)
	}
	if m := "node failed after=1m30s error=two\nlines node-id=a1 provider=north tries=3 why=[\"x\",\"y\"]"; message != m || p != journal.PriWarning {
		t.Errorf("priority %d, message %q", p, message)
	}
	message = ""
	if log.Debug("too much"); message != "" {
		t.Errorf("%q was written below the level", message)
	}
}

// What the journal does not take is on standard error, with its fields.
func TestJournalAway(t *testing.T) {
	other, seen := observer.New(zapcore.DebugLevel)
	log := zap.New(&journalCore{Core: other, send: func(string, journal.Priority, map[string]string) error {
		return errors.New("away")
	}})
	log.With(zap.String("provider", "north")).Info("told", zap.Int("n", 1))
	if got := seen.FilterMessage("told").FilterField(zap.String("provider", "north")).FilterField(zap.Int("n", 1)); got.Len() != 1 {
		t.Errorf("written %v", seen.All())
	}
}

// Where standard error is not the journal, nothing changes.
func TestNoJournal(t *testing.T) {
	other, _ := observer.New(zapcore.DebugLevel)
	for _, stream := range []string{"", "1:2", "nonsense"} {
		t.Setenv("JOURNAL_STREAM", stream)
		if Journal(other) != other {
			t.Errorf("%q is taken for the journal", stream)
		}
	}
}
