package daemon

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
	"go.uber.org/zap/zapcore"
)

// maxJournalField is how long journald lets the name of a field be.
const maxJournalField = 64

// Journal returns a core that writes to systemd's journal with a field for each
// of a line's, and what the journal does not take to the other core. That one
// is returned as it is unless standard error, which it stands for, is the
// journal.
func Journal(other zapcore.Core) zapcore.Core {
	// An error means that JOURNAL_STREAM is not systemd's.
	if is, err := journal.StderrIsJournalStream(); err != nil || !is {
		return other
	}
	return &journalCore{Core: other, send: journal.Send}
}

// journalCore writes to the journal. The Core in it is the other one, which
// takes the same levels.
type journalCore struct {
	zapcore.Core
	fields []zapcore.Field
	send   func(message string, p journal.Priority, vars map[string]string) error
}

// With is part of zapcore.Core.
func (c *journalCore) With(fields []zapcore.Field) zapcore.Core {
	return &journalCore{Core: c.Core.With(fields), fields: slices.Concat(c.fields, fields), send: c.send}
}

// Check is part of zapcore.Core.
func (c *journalCore) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return checked.AddCore(e, c)
	}
	return checked
}

// Write is part of zapcore.Core.
func (c *journalCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	line := zapcore.NewMapObjectEncoder()
	for _, f := range slices.Concat(c.fields, fields) {
		f.AddTo(line)
	}
	vars := map[string]string{"SYSLOG_IDENTIFIER": "poold", "POOLD_LOGGER": e.LoggerName}
	if e.Stack != "" {
		vars["POOLD_STACK"] = e.Stack
	}
	var message strings.Builder
	message.WriteString(e.Message)
	for _, name := range slices.Sorted(maps.Keys(line.Fields)) {
		value := journalValue(line.Fields[name])
		vars[journalName(name)] = value
		fmt.Fprintf(&message, " %s=%s", name, value)
	}
	if err := c.send(message.String(), priority(e.Level), vars); err != nil {
		return c.Core.Write(e, fields)
	}
	return nil
}

// journalName is the name of a field in the journal: those of others begin
// otherwise.
func journalName(name string) string {
	upper := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		}
		return '_'
	}, "POOLD_"+name)
	return upper[:min(len(upper), maxJournalField)]
}

// journalValue is a value as text: what has parts as JSON.
func journalValue(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case fmt.Stringer: // a duration
		return v.String()
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

// priority is what syslog calls a level.
func priority(l zapcore.Level) journal.Priority {
	switch {
	case l >= zapcore.DPanicLevel:
		return journal.PriCrit
	case l == zapcore.ErrorLevel:
		return journal.PriErr
	case l == zapcore.WarnLevel:
		return journal.PriWarning
	case l == zapcore.InfoLevel:
		return journal.PriInfo
	}
	return journal.PriDebug
}
