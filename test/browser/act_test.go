//go:build browser

package browser

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"poold/test/demo"
	"poold/test/proc"
)

const token = "ann-0123456789-0123456789"

// startGuardedSite is startSite with a token for ann.
func startGuardedSite(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	base, err := os.ReadFile(root + "/nodepool.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"tokens": "ann " + token + "\n", "nodepool.yaml": string(base) + "\nwebapp: {tokens: " + filepath.Join(dir, "tokens") + "}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &site{demo.Start(t, filepath.Join(bin, "poold"), dir, "demo", "-c", filepath.Join(dir, "nodepool.yaml"))}
}

// act does what a page offers with the keyboard alone: it opens the offer, says
// why, and sends it.
func (b *browser) act(page, offer string) {
	b.t.Helper()
	details := `//section[@id="acts"]//details[summary[text()="` + offer + `"]]`
	b.do(chromedp.Navigate(page), chromedp.Focus(details+"/summary", chromedp.BySearch), chromedp.KeyEvent(kb.Enter),
		chromedp.WaitVisible(details+`//input[@name="reason"]`, chromedp.BySearch))
	b.accessible(page + " " + offer)
	b.do(chromedp.Focus(details+`//input[@name="reason"]`, chromedp.BySearch), chromedp.KeyEvent("a test of "+offer+kb.Enter),
		chromedp.WaitNotPresent(details, chromedp.BySearch))
}

// Whoever signs in finds what he can do on the pages, and does it without a mouse;
// each action is told of with who and why.
func TestActions(t *testing.T) {
	s := startGuardedSite(t)
	b := open(t)
	dir := shots(t)
	node := s.fulfilled(t, s.ask(t, "held", demo.Small))[0]
	b.as(looks()[0])
	b.do(chromedp.Navigate(s.Web+"/nodes/"+node.ID), chromedp.WaitVisible(`.who a`), chromedp.Focus(`.who a`), chromedp.KeyEvent(kb.Enter),
		chromedp.WaitVisible(`input[name=token]`))
	b.accessible("sign-in")
	b.shoot(dir, "sign-in-light")
	b.do(chromedp.SendKeys(`input[name=token]`, token+kb.Enter), chromedp.WaitVisible(`#acts`))
	if at := value[string](b, "location.pathname"); at != "/nodes/"+node.ID {
		t.Errorf("signing in leads to %s", at)
	}
	for _, l := range looks() {
		b.as(l)
		b.do(chromedp.Navigate(s.Web+"/nodes/"+node.ID), chromedp.Click(`#acts summary`), chromedp.WaitVisible(`#acts input[name=reason]`))
		b.fits("the form", l.wide)
		b.shoot(dir, "acts-node-"+l.name)
	}
	b.as(looks()[0])
	b.act(s.Web+"/nodes/"+node.ID, "Hold")
	b.act(s.Web+"/nodes/"+node.ID, "End the hold")
	b.act(s.Web+"/providers/demo-north", "Pause")
	b.act(s.Web+"/providers/demo-north", "Unpause")
	b.act(s.Web+"/images/ubuntu-noble", "Pause")
	b.act(s.Web+"/images/ubuntu-noble", "Unpause")
	idle := ""
	for _, n := range s.list(t, "nodes") {
		if n["state"] == "ready" {
			idle, _ = n["id"].(string)
		}
	}
	b.act(s.Web+"/nodes/"+idle, "Delete")
	for verb, offer := range map[string]string{
		"node-hold": "Hold", "node-unhold": "End the hold", "node-delete": "Delete", "provider-pause": "Pause", "provider-unpause": "Unpause",
		"image-pause": "Pause", "image-unpause": "Unpause",
	} {
		proc.Await(t, verb+" is told of", limit, func() (string, bool) {
			for _, e := range s.list(t, "events?kind=command") {
				name, _ := e["name"].(string)
				if strings.HasPrefix(name, verb+" ") && e["to"] == "done" && e["by"] == "ann" && e["reason"] == "a test of "+offer {
					return name, true
				}
			}
			return "", false
		}, s.Process)
	}
	b.do(chromedp.Click(`.who button`), chromedp.WaitVisible(`.who a`))
	b.silent()
}
