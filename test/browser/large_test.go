//go:build browser

package browser

import (
	"cmp"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"poold/pool"
	"poold/test/proc"
	"poold/test/scale"
	"poold/web"
)

// moved is how many nodes move between two looks at a large installation.
const moved = 100

// large is the pages of a large installation, which change.
type large struct {
	url     string
	records atomic.Pointer[pool.Snapshot]
	// begin are the nodes as they were.
	begin   []*pool.Node
	changed chan struct{}
	next    int
}

func startLarge(tb testing.TB) *large {
	tb.Helper()
	records, catalog := scale.New(time.Now())
	l := &large{begin: records.Nodes, changed: make(chan struct{}, 1)}
	l.records.Store(records)
	s := web.New(web.Config{
		Snapshot: l.records.Load, Catalog: func() *pool.Catalog { return catalog }, Ready: func() []web.Check { return nil },
		Changed:  func() (<-chan struct{}, func()) { return l.changed, func() {} },
		Breakers: func(_ []*pool.Node, now time.Time) []pool.Breaker { return scale.Breakers(now) },
		Gatherer: prometheus.NewRegistry(), Log: zap.NewNop(),
	})
	go func() { _ = s.Run(tb.Context()) }() // ends with the test
	server := httptest.NewServer(s)
	tb.Cleanup(server.Close)
	tb.Cleanup(server.CloseClientConnections) // the stream would not end
	l.url = server.URL
	return l
}

// change has some nodes move; one that was used is as it was.
func (l *large) change() {
	records := *l.records.Load()
	records.Nodes, records.Revision = slices.Clone(records.Nodes), records.Revision+1
	for left := moved; left > 0; l.next++ {
		i := l.next % len(records.Nodes)
		n := &records.Nodes[i]
		switch (*n).State { //nolint:exhaustive // the others stay
		case pool.NodeReady:
			*n = (*n).Moved(pool.NodeInUse, pool.Allocator, "", time.Now())
			left--
		case pool.NodeInUse:
			*n = (*n).Moved(pool.NodeUsed, pool.Allocator, "", time.Now())
			left--
		case pool.NodeUsed:
			*n = l.begin[i]
			left--
		}
	}
	l.records.Store(&records)
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// The pages that grow with an installation hold a large one, and what somebody has
// opened there stays open when it is replaced.
func TestLargePages(t *testing.T) {
	t.Parallel()
	l := startLarge(t)
	b := open(t)
	b.visit(l.url, "large", map[string]string{
		"overview": "/", "images": "/images", "request": "/requests/" + scale.Client + "/400-0000000007", "provider": "/providers/" + scale.Provider(1),
	}, looks()[0], looks()[2])
	b.as(looks()[0])
	b.do(chromedp.Navigate(l.url), chromedp.Click("#more-upload-fails summary"), chromedp.WaitVisible("#more-upload-fails li"),
		chromedp.Evaluate(`document.querySelector("#wrong ul").dataset.old = 1`, nil))
	l.change()
	proc.Await(t, "the list of what is wrong is a new one", limit, func() (string, bool) {
		return "", value[bool](b, `!document.querySelector("#wrong [data-old]")`)
	})
	if !value[bool](b, `document.querySelector("#more-upload-fails").open`) {
		t.Error("what was open is closed")
	}
	b.silent()
}

// timing is what a browser measured of a page, in milliseconds since somebody
// wanted it: the first byte, all of the document, and something to be seen. Bytes
// is all that came.
type timing struct {
	First, Loaded, Painted float64
	Bytes                  int64
}

// measured asks the browser, once something can be seen.
const measured = `(async () => {
	while (!performance.getEntriesByName("first-contentful-paint").length) await new Promise((f) => setTimeout(f, 10));
	const n = performance.getEntriesByType("navigation")[0];
	const all = [n, ...performance.getEntriesByType("resource")];
	return {
		First: n.responseStart, Loaded: n.domContentLoadedEventEnd, Bytes: all.reduce((sum, e) => sum + e.transferSize, 0),
		Painted: performance.getEntriesByName("first-contentful-paint")[0].startTime,
	};
})()`

// The first page that somebody sees of a large installation: nothing of it is in the
// browser, and the records have changed since the last one was drawn.
func BenchmarkFirstPage(b *testing.B) {
	l := startLarge(b)
	tab := open(b)
	tab.as(looks()[0])
	tab.do(network.Enable(), network.SetCacheDisabled(true))
	var all []timing
	for b.Loop() {
		tab.do(chromedp.Navigate("about:blank"))
		l.change()
		time.Sleep(300 * time.Millisecond) // what was drawn before is too old then
		var t timing
		tab.do(chromedp.Navigate(l.url), chromedp.Evaluate(measured, &t, awaited))
		all = append(all, t)
	}
	report := func(name string, of func(timing) float64) {
		slices.SortFunc(all, func(x, y timing) int { return cmp.Compare(of(x), of(y)) })
		b.ReportMetric(of(all[len(all)/2]), name)
		b.ReportMetric(of(all[len(all)-1]), name+"-max")
	}
	b.ReportMetric(0, "ns/op")
	report("ms-first-byte", func(t timing) float64 { return t.First })
	report("ms-loaded", func(t timing) float64 { return t.Loaded })
	report("ms-painted", func(t timing) float64 { return t.Painted })
	b.ReportMetric(float64(all[0].Bytes), "bytes")
	tab.silent()
}

// What a page of a large installation keeps when it takes in update after update.
func BenchmarkLiveUpdates(b *testing.B) {
	l := startLarge(b)
	tab := open(b)
	tab.as(looks()[0])
	tab.hurry()
	tab.do(chromedp.Navigate(l.url), chromedp.WaitVisible("#labels"))
	update := func() {
		l.change()
		time.Sleep(300 * time.Millisecond) // what was drawn before is too old then
		tab.churn(1)
	}
	for range 20 {
		update()
	}
	first := tab.kept()
	for b.Loop() {
		update()
	}
	last := tab.kept()
	b.ReportMetric(0, "ns/op")
	for when, k := range map[string]kept{"before": first, "after": last} {
		b.ReportMetric(float64(k.elements), "elements-"+when)
		b.ReportMetric(float64(k.documents)/1024, "kB-documents-"+when)
		b.ReportMetric(float64(k.scripts)/1024, "kB-scripts-"+when)
	}
	tab.silent()
}
