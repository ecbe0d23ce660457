//go:build browser

package browser

import (
	"bufio"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"poold/test/demo"
	"poold/test/proc"
)

const token = "ann-0123456789-0123456789"

// guarded is a site on which ann may act, and who was seen to do what there.
type guarded struct {
	*site
	*browser

	audit string
	// offered is what pages offered to be done, as the verb and what it is called;
	// pressed is what was done, with the reason that was given.
	offered map[string]bool
	pressed map[string]string
}

// startGuarded is startSite with a token for ann and a log of what humans do.
func startGuarded(t *testing.T) *guarded {
	t.Helper()
	dir := t.TempDir()
	base, err := os.ReadFile(root + "/nodepool.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tokens, audit := filepath.Join(dir, "tokens"), filepath.Join(dir, "audit.log")
	for name, text := range map[string]string{
		tokens:                              "ann " + token + "\n",
		filepath.Join(dir, "nodepool.yaml"): fmt.Sprintf("%s\nwebapp: {tokens: %s, audit-log: %s}\n", base, tokens, audit),
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &site{demo.Start(t, filepath.Join(bin, "poold"), dir, "demo", "-c", filepath.Join(dir, "nodepool.yaml"))}
	return &guarded{site: s, browser: open(t), audit: audit, offered: map[string]bool{}, pressed: map[string]string{}}
}

// look notes what a page offers.
func (g *guarded) look(page string) {
	g.t.Helper()
	g.do(chromedp.Navigate(g.Web+page), chromedp.WaitVisible("main h1"))
	for _, offer := range value[[]string](g.browser, `[...document.querySelectorAll("#acts form")].map((f) =>
		f.elements.verb.value + ": " + f.closest("details").querySelector("summary").textContent)`) {
		g.offered[offer] = true
	}
}

// act does what a page offers with the keyboard alone: it opens the offer, says
// why, and sends it.
func (g *guarded) act(page, offer string) {
	g.t.Helper()
	g.look(page)
	details := `//section[@id="acts"]//details[summary[text()="` + offer + `"]]`
	reason := fmt.Sprintf("%d. %s", len(g.pressed), offer)
	var verb string
	g.do(chromedp.Focus(details+"/summary", chromedp.BySearch), chromedp.KeyEvent(kb.Enter),
		chromedp.WaitVisible(details+`//input[@name="reason"]`, chromedp.BySearch),
		chromedp.Value(details+`//input[@name="verb"]`, &verb, chromedp.BySearch))
	g.accessible(page + " " + offer)
	g.do(chromedp.Evaluate(`document.body.id = "before"`, nil),
		chromedp.Focus(details+`//input[@name="reason"]`, chromedp.BySearch), chromedp.KeyEvent(reason+kb.Enter),
		chromedp.WaitVisible(`body:not(#before) main h1`))
	if at := value[string](g.browser, "location.pathname"); at != page {
		g.t.Fatalf("%s leads to %s: %s", offer, at, value[string](g.browser, "document.querySelector('main').textContent"))
	}
	g.silent()
	g.pressed[verb+": "+offer] = reason
}

// idle waits until there are as many nodes ready as are wanted, and nothing is made
// or deleted, and returns one of them: poold lets it be.
func (g *guarded) idle(t *testing.T) string {
	t.Helper()
	var id string
	proc.Await(t, "as many nodes are ready as are wanted", limit, func() (string, bool) {
		count := map[any]int{}
		for _, n := range g.list(t, "nodes") {
			if count[n["state"]]++; n["state"] == "ready" {
				id, _ = n["id"].(string)
			}
		}
		return fmt.Sprint(count), count["ready"] == demo.SmallReady+demo.LargeReady &&
			count["pending"]+count["building"]+count["used"]+count["failed"]+count["deleting"] == 0
	}, g.Process)
	return id
}

// Whoever signs in finds what he can do on the pages, and does all of it without a
// mouse; each action is told of with who and why, and is in the log of what humans
// did.
func TestActions(t *testing.T) {
	t.Parallel()
	g := startGuarded(t)
	node := g.fulfilled(t, g.ask(t, "held", demo.Small))[0]
	g.as(looks()[0])
	g.signIn("/nodes/" + node.ID)
	dir := shots(t)
	for _, l := range looks() {
		g.as(l)
		for name, page := range map[string]string{"node": "/nodes/" + node.ID, "image": "/images/ubuntu-noble"} {
			g.do(chromedp.Navigate(g.Web+page), chromedp.Click(`#acts summary`), chromedp.WaitVisible(`#acts input[name=reason]`))
			g.fits("the form", l.wide)
			g.shoot(dir, "acts-"+name+"-"+l.name)
		}
	}
	g.as(looks()[0])
	g.strangers(t, node.ID)

	g.act("/nodes/"+node.ID, "Hold")
	g.act("/nodes/"+node.ID, "End the hold")
	taken := g.fulfilled(t, g.ask(t, "taken", demo.Small))[0]
	g.act("/nodes/"+taken.ID, "Take away and delete")
	g.act("/nodes/"+g.idle(t), "Delete")
	g.act("/providers/demo-north", "Pause")
	g.act("/providers/demo-north", "Unpause")
	g.act("/images/ubuntu-noble", "Pause")
	g.act("/images/ubuntu-noble", "Unpause")
	g.act("/images/ubuntu-noble", "Build now")
	proc.Await(t, "there are two builds", limit, func() (string, bool) {
		builds := g.list(t, "images?state=ready")
		return fmt.Sprint(builds), len(builds) > 1
	}, g.Process)
	g.act("/images/ubuntu-noble", "Take a build out of service")
	g.act("/images/ubuntu-noble", "Put a build back")
	g.look("/images/ubuntu-noble")

	g.complete(t)
	for what, reason := range g.pressed {
		g.told(t, what, reason)
	}
	g.do(chromedp.Click(`.who button`), chromedp.WaitVisible(`.who a`))
	g.silent()
}

// signIn goes from a page to where one signs in, shows a token that is wrong and
// then the right one, and comes back.
func (g *guarded) signIn(page string) {
	g.t.Helper()
	g.do(chromedp.Navigate(g.Web+page), chromedp.WaitVisible(`.who a`), chromedp.Focus(`.who a`), chromedp.KeyEvent(kb.Enter),
		chromedp.WaitVisible(`input[name=token]`))
	g.accessible("sign-in")
	g.shoot(shots(g.t), "sign-in-light")
	g.do(chromedp.SendKeys(`input[name=token]`, token+"x"+kb.Enter), chromedp.WaitVisible(`.problem[role=alert]`))
	if said := value[string](g.browser, "document.querySelector('.problem').textContent"); said != "this token is not known here" {
		g.t.Errorf("a wrong token is told %q", said)
	}
	g.accessible("sign-in with a wrong token")
	g.shoot(shots(g.t), "sign-in-wrong-light")
	g.refused("401")
	g.do(chromedp.SendKeys(`input[name=token]`, token+kb.Enter), chromedp.WaitVisible(`#acts`))
	if at := value[string](g.browser, "location.pathname"); at != page {
		g.t.Errorf("signing in leads to %s", at)
	}
}

// strangers are pages of somebody else, on the same machine, so that the browser
// sends the session with their forms: it is refused, and nothing is done.
func (g *guarded) strangers(t *testing.T, node string) {
	t.Helper()
	form := value[string](g.browser, `document.querySelector("#acts input[name=form]")?.value || ""`)
	for name, word := range map[string]string{"without the word": "", "that knows the word": form} {
		stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = fmt.Fprintf(w, `<form method="post" action="%s/act"><input name="verb" value="node-force-delete">
				<input name="target" value="%s"><input name="reason" value="stolen"><input name="form" value="%s"><button>A prize!</button></form>`,
				g.Web, node, html.EscapeString(word)) // whoever went away needs no page
		}))
		g.do(chromedp.Navigate(stranger.URL), chromedp.Evaluate(`document.body.id = "before"`, nil), chromedp.Click("button"),
			chromedp.WaitReady("body:not(#before)"))
		if said := value[string](g.browser, "document.body.textContent"); !strings.Contains(said, "a page of somebody else has your browser do this") {
			t.Errorf("a form %s is told %s", name, said)
		}
		g.refused("403", "/favicon.ico") // no page of ours, and so without an icon
		stranger.Close()
	}
	for _, e := range g.list(t, "events?kind=command") {
		t.Errorf("something was done: %v", e)
	}
}

// refused takes what the console says of an answer with a status, and of what is
// not there, and nothing else.
func (g *guarded) refused(status string, missing ...string) {
	g.t.Helper()
	g.mu.Lock()
	g.said = slices.DeleteFunc(g.said, func(text string) bool {
		return strings.Contains(text, "the server responded with a status of "+status) ||
			slices.ContainsFunc(missing, func(what string) bool { return strings.HasSuffix(text, what) })
	})
	g.mu.Unlock()
	g.silent()
}

// complete checks that all was pressed that there is: each verb of the API, and
// each thing that a page offered.
func (g *guarded) complete(t *testing.T) {
	t.Helper()
	_, body, err := demo.Ask(t.Context(), http.MethodGet, g.Web+"/api/v1/openapi.json")
	var api struct {
		Paths map[string]map[string]struct {
			RequestBody struct {
				Content map[string]struct {
					Schema struct {
						Properties map[string]struct{ Enum []string }
					}
				}
			}
		}
	}
	if err == nil {
		err = json.Unmarshal(body, &api)
	}
	if err != nil {
		t.Fatal(err)
	}
	verbs := api.Paths["/api/v1/actions"]["post"].RequestBody.Content["application/json"].Schema.Properties["verb"].Enum
	if len(verbs) == 0 {
		t.Error("the API says of nothing that it can be done")
	}
	for _, verb := range verbs {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(g.pressed)), func(what string) bool { return strings.HasPrefix(what, verb+": ") }) {
			t.Errorf("nobody has pressed anything for %s", verb)
		}
	}
	for what := range g.offered {
		if g.pressed[what] == "" {
			t.Errorf("a page offers what nobody has pressed: %s", what)
		}
	}
}

// told checks that an action was done by ann for a reason, as the events and the log
// of what humans did tell.
func (g *guarded) told(t *testing.T, what, reason string) {
	t.Helper()
	fits := func(e map[string]any) bool {
		return e["kind"] == "command" && e["to"] == "done" && e["by"] == "ann" && e["reason"] == reason
	}
	proc.Await(t, what+" is told of", limit, func() (string, bool) {
		return "", slices.ContainsFunc(g.list(t, "events?kind=command"), fits)
	}, g.Process)
	proc.Await(t, what+" is in the log", limit, func() (string, bool) {
		file, err := os.Open(g.audit)
		if err != nil {
			return err.Error(), false
		}
		defer func() { _ = file.Close() }() // it was only read
		for lines := bufio.NewScanner(file); lines.Scan(); {
			var e map[string]any
			if json.Unmarshal(lines.Bytes(), &e) == nil && fits(e) {
				return "", true
			}
		}
		return "it has no such line", false
	}, g.Process)
}
