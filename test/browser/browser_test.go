//go:build browser

package browser

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is one tab.
type browser struct {
	t   testing.TB
	ctx context.Context //nolint:containedctx // chromedp keeps the tab in it
	// mu guards said.
	mu sync.Mutex
	// said is what the console said that was no mere note.
	said []string
}

// open starts a browser for the test.
func open(tb testing.TB) *browser {
	tb.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WSURLReadTimeout(limit))
	ctx, cancel := chromedp.NewExecAllocator(tb.Context(), options...)
	tb.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	tb.Cleanup(cancel)
	b := &browser{t: tb, ctx: ctx}
	if err := chromedp.Run(ctx); err != nil { // it lives as long as the context that begins it
		tb.Fatal(err)
	}
	chromedp.ListenTarget(ctx, b.hear)
	b.do(log.Enable(), runtime.Enable(), accessibility.Enable())
	return b
}

// hear notes what goes wrong in the page.
func (b *browser) hear(event any) {
	text := ""
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
			text = fmt.Sprintf("console: %s %v", e.Type, e.Args)
		}
	case *runtime.EventExceptionThrown:
		text = e.ExceptionDetails.Error()
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError || e.Entry.Level == log.LevelWarning {
			text = e.Entry.Text + " " + e.Entry.URL
		}
	}
	if text != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.said = append(b.said, text)
	}
}

// silent fails the test if the console has said anything.
func (b *browser) silent() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.said {
		b.t.Errorf("the console says: %s", text)
	}
	b.said = nil
}

func (b *browser) do(actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// value is what an expression is in the page.
func value[T any](b *browser, expression string) T {
	b.t.Helper()
	var v T
	b.do(chromedp.Evaluate(expression, &v))
	return v
}

// look is how somebody looks at a page.
type look struct {
	name, scheme string
	wide, high   int64
	phone        bool
}

func looks() []look {
	return []look{
		{"light", "light", 1280, 900, false},
		{"dark", "dark", 1280, 900, false},
		{"phone", "light", 380, 800, true},
	}
}

func (b *browser) as(l look) {
	b.t.Helper()
	b.do(
		emulation.SetDeviceMetricsOverride(l.wide, l.high, 1, l.phone),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}}),
	)
}

// shots is where screenshots go; "" if nobody wants any, as they take a quarter of the
// time.
func shots(tb testing.TB) string {
	tb.Helper()
	dir := os.Getenv("POOLD_SHOTS")
	if dir == "" && flag.Lookup("test.artifacts").Value.String() == "true" {
		return tb.ArtifactDir()
	} else if dir == "" {
		return ""
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// shoot writes a picture of the whole page, if somebody wants it.
func (b *browser) shoot(dir, name string) {
	b.t.Helper()
	if dir == "" {
		return
	}
	var picture []byte
	b.do(chromedp.FullScreenshot(&picture, 100))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// spoken is what a screen reader is told of one thing; the library's own types
// refuse what newer browsers say besides.
type spoken struct {
	Ignored    bool     `json:"ignored"`
	Role       spokenAs `json:"role"`
	Name       spokenAs `json:"name"`
	Properties []aspect `json:"properties"`
}

type spokenAs struct {
	Value any `json:"value"`
}

type aspect struct {
	Name  string   `json:"name"`
	Value spokenAs `json:"value"`
}

// level is the level of a heading; 0 of anything else.
func (s *spoken) level() float64 {
	for _, p := range s.Properties {
		if level, ok := p.Value.Value.(float64); ok && p.Name == "level" {
			return level
		}
	}
	return 0
}

// spoken returns the accessibility tree of the page.
func (b *browser) spoken() []spoken {
	b.t.Helper()
	var tree struct {
		Nodes []spoken `json:"nodes"`
	}
	b.do(chromedp.ActionFunc(func(ctx context.Context) error {
		return chromedp.FromContext(ctx).Target.Execute(ctx, accessibility.CommandGetFullAXTree, nil, &tree)
	}))
	return tree.Nodes
}

// accessible checks what a screen reader is told of the page: its landmarks, one
// heading of the first level, and a name for all that can be operated or that
// has columns; tables are tables however they are drawn.
func (b *browser) accessible(page string) {
	b.t.Helper()
	count := map[string]int{}
	tables := func() int { return value[int](b, "document.querySelectorAll('table').length") }
	before := tables()
	for _, n := range b.spoken() {
		if n.Ignored {
			continue
		}
		role, name := fmt.Sprint(n.Role.Value), n.Name.Value
		count[role]++
		if role == "heading" && n.level() == 1 {
			count["h1"]++
		}
		switch role {
		case "link", "button", "table", "image", "region", "combobox", "textbox", "form", "navigation":
			if name == nil || name == "" {
				b.t.Errorf("%s: a %s has no name", page, role)
			}
		}
	}
	if is := count["table"]; is != before && before == tables() { // else the page has changed meanwhile
		b.t.Errorf("%s has %d tables, of which %d are told of", page, before, is)
	}
	for _, role := range []string{"banner", "main", "navigation", "contentinfo", "status", "h1"} {
		if count[role] != 1 {
			b.t.Errorf("%s has %d of the role %s", page, count[role], role)
		}
	}
}

// fits checks that nothing makes the page wider than the screen.
func (b *browser) fits(page string, wide int64) {
	b.t.Helper()
	if is := value[int64](b, "document.documentElement.scrollWidth"); is > wide {
		b.t.Errorf("%s is %d wide on a screen of %d", page, is, wide)
	}
}
