//go:build browser

package browser

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/memory"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"poold/test/demo"
	"poold/test/proc"
)

// visit opens every page in every look: no word on the console, all that a
// screen reader needs, nothing too wide; and takes pictures.
func (b *browser) visit(web, state string, paths map[string]string, looks ...look) {
	b.t.Helper()
	dir := shots(b.t)
	for _, l := range looks {
		b.as(l)
		for name, path := range paths {
			what := strings.Join([]string{state, name, l.name}, "-")
			b.do(chromedp.Navigate(web+path), chromedp.WaitVisible("main h1, main h2"))
			b.accessible(what)
			b.fits(what, l.wide)
			b.shoot(dir, what)
			b.silent()
		}
	}
	b.t.Logf("pictures are in %q", dir)
}

// paths are those of every page, with a node and a request that there are.
func paths(node, request string) map[string]string {
	return map[string]string{
		"overview": "/", "nodes": "/nodes", "node": "/nodes/" + node, "requests": "/requests",
		"request": "/requests/browser/" + request, "images": "/images", "image": "/images/ubuntu-noble",
		"providers": "/providers", "provider": "/providers/demo-north", "labels": "/labels", "label": "/labels/ubuntu-noble",
		"peers": "/peers", "peer": "/peers/demo", "events": "/events",
	}
}

// All pages, while all is well, and then with one cloud whose servers fail and
// one that does not answer.
func TestPages(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	b := open(t)
	node := s.fulfilled(t, s.ask(t, "well", demo.Small))[0]
	b.visit(s.Web, "well", paths(node.ID, "well"), looks()...)
	b.themes(s)
	b.plain(s)

	s.fault(t, "demo-north", map[string]any{"kind": "server-error", "body": "No valid host was found."})
	s.fault(t, "demo-south", map[string]any{"kind": "server-error", "body": "Build of instance aborted."})
	s.fault(t, "demo-west", map[string]any{"kind": "status", "on": "compute", "status": 503})
	many := make([]string, 30)
	for i := range many {
		many[i] = demo.Small
	}
	for i := range 3 {
		s.ask(t, fmt.Sprintf("waits-%d", i), many[:10*(i+1)]...)
	}
	var failed string
	proc.Await(t, "launches fail, and the overview says so", limit, func() (string, bool) {
		for _, n := range s.list(t, "nodes") {
			if n["failure"] != nil {
				failed, _ = n["id"].(string)
			}
		}
		_, body, err := demo.Ask(t.Context(), http.MethodGet, s.Web+"/")
		seen := string(body)
		return fmt.Sprint(err, len(seen)), failed != "" && strings.Contains(seen, "demo-south: ") && strings.Contains(seen, "demo-north is full")
	}, s.Process)
	b.visit(s.Web, "faulty", paths(failed, "waits-2"), looks()...)
}

// themes chooses a theme with the keyboard, and comes back to the same page.
func (b *browser) themes(s *site) {
	b.t.Helper()
	b.as(looks()[0])
	paper := func() string { return value[string](b, "getComputedStyle(document.body).backgroundColor") }
	b.do(chromedp.Navigate(s.Web + "/nodes?state=ready"))
	light := paper()
	b.do(chromedp.Focus(`button[value=dark]`), chromedp.KeyEvent("\r"), chromedp.WaitVisible(`html[data-theme=dark] main`))
	if at := value[string](b, "location.href"); paper() == light || !strings.HasSuffix(at, "/nodes?state=ready") {
		b.t.Errorf("dark is %s as light is, at %s", light, at)
	}
	b.do(chromedp.Click(`button[value=auto]`), chromedp.WaitVisible(`html[data-theme=auto] main`))
	b.silent()
}

// A page follows what happens without a reload, keeps the focus, and does not
// grow.
func TestLive(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	b := open(t)
	b.as(looks()[0])
	b.hurry()
	b.do(chromedp.Navigate(s.Web+"/"), chromedp.Focus(`#labels tbody a`), chromedp.Evaluate("window.before = 1", nil))
	s.ask(t, "live", demo.Small)
	proc.Await(t, "the page shows a node in use", limit, func() (string, bool) {
		seen := value[string](b, "document.querySelector('#sums div:nth-child(4)').textContent")
		return seen, seen == "In use1"
	}, s.Process)
	if value[int](b, "window.before || 0") != 1 {
		t.Error("the page was loaded again")
	}
	if at := value[string](b, "document.activeElement.textContent"); at != demo.Small {
		t.Errorf("the focus is at %q", at)
	}
	sections := func() string {
		return value[string](b, "[...document.querySelectorAll('main section[id]')].map((s) => s.id).join()")
	}
	all := sections()
	b.do(chromedp.Evaluate("document.activeElement.blur()", nil))
	b.churn(20)
	if now := sections(); now != all || !strings.Contains(all, "labels") {
		t.Errorf("of the sections %s are left %s", all, now)
	}
	// What was fetched last may not be thrown away yet. Of 300 updates the elements
	// would take 14 MB, and the texts 3 MB.
	const updates, few, scripts, documents = 300, 20, 1 << 20, 6 << 20
	size := value[int64](b, "document.querySelectorAll('*').length")
	first := b.kept()
	b.churn(updates)
	last := b.kept()
	t.Logf("of a page of %d elements it kept %+v, and after %d updates %+v", size, first, updates, last)
	if last.elements > first.elements+few*size || last.scripts > first.scripts+scripts || last.documents > first.documents+documents {
		t.Errorf("a page of %d elements grew from %+v to %+v", size, first, last)
	}
	b.silent()
}

// hurry makes the page take in updates at once, as a second is too long to wait for
// hundreds of them, and shows it the stream that tells of them. For who watches its
// network and what it says to screen readers, the browser keeps all that ever came:
// nobody does any more.
func (b *browser) hurry() {
	b.t.Helper()
	b.do(network.Disable(), accessibility.Disable(), chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := page.AddScriptToEvaluateOnNewDocument(`
			const soon = window.setTimeout;
			window.setTimeout = (f, ms) => soon(f, ms / 100);
			window.EventSource = class extends window.EventSource { constructor(url) { super(url); window.stream = this; } };
		`).Do(ctx)
		return err
	}))
}

// awaited has an expression awaited.
func awaited(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }

// churn has the page take in so many updates, one after the other.
func (b *browser) churn(updates int) {
	b.t.Helper()
	b.do(chromedp.Evaluate(fmt.Sprintf(`(async () => {
		for (let i = 0; i < %d; i++) {
			for (const s of document.querySelectorAll("main section")) s.dataset.old = i;
			window.stream.onmessage();
			while (document.querySelector("main section[data-old='" + i + "']")) await new Promise((f) => setTimeout(f, 100));
		}
	})()`, updates), nil, awaited))
}

// kept is what a browser keeps of pages: how many nodes of documents, and the bytes
// that these take, and those of what scripts work with.
type kept struct{ elements, documents, scripts int64 }

// kept is it after the browser has thrown away what it can.
func (b *browser) kept() kept {
	b.t.Helper()
	var k kept
	b.do(chromedp.ActionFunc(func(ctx context.Context) error {
		if err := heapprofiler.CollectGarbage().Do(ctx); err != nil {
			return err
		}
		scripts, _, documents, texts, err := runtime.GetHeapUsage().Do(ctx)
		if err != nil {
			return err
		}
		k.scripts, k.documents = int64(scripts+texts), int64(documents)
		_, k.elements, _, err = memory.GetDOMCounters().Do(ctx)
		return err
	}))
	return k
}

// plain reads the overview with scripts switched off.
func (b *browser) plain(s *site) {
	b.t.Helper()
	b.do(emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(s.Web+"/"))
	var seen string
	b.do(chromedp.Text("main", &seen), emulation.SetScriptExecutionDisabled(false))
	for _, word := range []string{"demo-north", demo.Small, "Ready against demand", "Nobody waits"} {
		if !strings.Contains(seen, word) {
			b.t.Errorf("without scripts the page lacks %q: %s", word, seen)
		}
	}
}
