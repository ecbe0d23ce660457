package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"poold/event"
)

// The file has each event once, also over restarts, and is only appended to.
func TestAudit(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit.log")
	begin := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	at := func(minute int) event.Event {
		return event.Event{At: begin.Add(time.Duration(minute) * time.Minute), Kind: event.Request, Name: "ci/" + string(rune('a'+minute)), To: "fulfilled"}
	}
	run := func(minute int, looks ...[]event.Event) {
		a, err := openAudit(name, begin.Add(time.Duration(minute)*time.Minute), zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		for _, events := range looks {
			a.keep(events)
		}
		if err := a.file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	run(2, []event.Event{at(0), at(1)}, []event.Event{at(3)})
	// b and d are on record still; e happened while nobody looked, and the last
	// has no time of its own.
	run(6, []event.Event{at(1), at(3), at(4), at(6)}, []event.Event{at(7)})
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(text)) {
		_, rest, _ := strings.Cut(line, `"name":"ci/`)
		got = append(got, rest[:1])
	}
	if names := strings.Join(got, ""); names != "abdeh" {
		t.Errorf("the file has %s:\n%s", names, text)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != ownerOnlyFile {
		t.Errorf("it is open to others: %v, %v", info.Mode(), err)
	}
}

// A line that was cut off spoils no other.
func TestAuditAfterACutLine(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(name, []byte(`{"at":"2026-01-`), ownerOnlyFile); err != nil {
		t.Fatal(err)
	}
	a, err := openAudit(name, time.Now(), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	a.keep([]event.Event{{At: time.Now().Add(-time.Hour), Kind: event.Freeze, Name: "launching"}})
	text, err := os.ReadFile(name)
	if lines := strings.Split(string(text), "\n"); err != nil || len(lines) != 3 || !strings.Contains(lines[1], "launching") {
		t.Errorf("%v: %s", err, text)
	}
}
