package web

import (
	"net/http"
	"slices"

	"poold/pool"
	"poold/web/model"
)

// pageTable lists the pages.
func pageTable() []shownPage {
	return []shownPage{
		{"/{$}", "overview", "overview", overviewPage},
		{"/nodes", "nodes", "nodes", nodesPage},
		{"/nodes/{id}", "node", "nodes", nodePage},
		{"/requests", "requests", "requests", requestsPage},
		{"/requests/{client}/{id}", "request", "requests", requestPage},
		{"/images", "images", "images", emptyPage("Images")},
		{"/images/{name}", "image", "images", imagePage},
		{"/providers", "providers", "providers", emptyPage("Providers")},
		{"/providers/{name}", "provider", "providers", providerPage},
		{"/labels", "labels", "labels", emptyPage("Labels")},
		{"/labels/{name}", "label", "labels", labelPage},
		{"/peers", "peers", "peers", emptyPage("Peers")},
		{"/peers/{name}", "peer", "peers", peerPage},
		{"/events", "events", "events", eventsPage},
	}
}

// emptyPage is a page that needs nothing but the site.
func emptyPage(title string) func(*Server, *model.Site, *http.Request) (string, any, bool) {
	return func(*Server, *model.Site, *http.Request) (string, any, bool) { return title, nil, true }
}

const (
	// mostQueued is how many requests the overview lists, and mostFailures how many
	// kinds of failure.
	mostQueued, mostFailures = 15, 15
	// mostColumns is how many providers the matrix of images may have there. With
	// more it is counted in how many an image is how fresh.
	mostColumns = 8
)

type overview struct {
	Queue    []model.Waiting
	More     int
	Failures []model.Failure
	// MoreFailures is how many kinds are not among them.
	MoreFailures int
	Matrix       bool
	History      chart
	Boots        bars
}

func overviewPage(s *Server, site *model.Site, _ *http.Request) (string, any, bool) {
	n, kinds := min(len(site.Queue), mostQueued), min(len(site.Failures), mostFailures)
	return "Overview", overview{
		Queue: site.Queue[:n], More: len(site.Queue) - n,
		Failures: site.Failures[:kinds], MoreFailures: len(site.Failures) - kinds, Matrix: len(site.Images.Providers) <= mostColumns,
		History: drawHistory(s.history.all(site)), Boots: drawBoots(site.Boots),
	}, true
}

// nodeChoice is which nodes a list shows.
type nodeChoice struct {
	State, Provider, Label, Client, Image string
}

func (c *nodeChoice) fits(n *pool.Node) bool {
	is := func(want, is string) bool { return want == "" || want == is }
	client := ""
	if n.AllocatedTo != nil {
		client = n.AllocatedTo.Client
	}
	return (n.State.Live() || c.State == string(n.State)) && is(c.State, string(n.State)) && is(c.Provider, n.Provider) &&
		is(c.Label, n.Label) && is(c.Client, client) && is(c.Image, n.Image)
}

type nodesData struct {
	Choice nodeChoice
	States []pool.NodeState
	paged[*pool.Node]
}

func nodesPage(_ *Server, site *model.Site, r *http.Request) (string, any, bool) {
	q := r.URL.Query()
	d := nodesData{
		Choice: nodeChoice{q.Get("state"), q.Get("provider"), q.Get("label"), q.Get("client"), q.Get("image")},
		States: pool.NodeMachine().States(),
	}
	var some []*pool.Node
	for _, n := range site.Records.Nodes {
		if d.Choice.fits(n) {
			some = append(some, n)
		}
	}
	d.paged = cut(some, r)
	d.Items = slices.Clone(d.Items)
	for i, n := range d.Items {
		d.Items[i] = shown(n)
	}
	return "Nodes", d, true
}

type nodeData struct {
	Node *pool.Node
	Life life
}

func nodePage(_ *Server, site *model.Site, r *http.Request) (string, any, bool) {
	id := pool.NodeID(r.PathValue("id"))
	n := one(site.Records.Nodes, func(n *pool.Node) bool { return n.ID == id })
	if n == nil {
		return "", nil, false
	}
	return "Node " + string(n.ID), nodeData{shown(n), drawLife(n, site.At)}, true
}

type requestsData struct {
	Waiting  paged[model.Waiting]
	Answered []*pool.Allocation
	More     int
}

func requestsPage(_ *Server, site *model.Site, r *http.Request) (string, any, bool) {
	d := requestsData{Waiting: cut(site.Queue, r)}
	for _, a := range site.Records.Allocations {
		if a.State != pool.AllocationWaiting {
			d.Answered = append(d.Answered, a)
		}
	}
	slices.SortStableFunc(d.Answered, func(a, b *pool.Allocation) int { return b.Since.Compare(a.Since) })
	if d.More = len(d.Answered) - pageSize; d.More > 0 {
		d.Answered = d.Answered[:pageSize]
	}
	return "Requests", d, true
}

type requestData struct {
	Client, ID string
	// Request is nil if it is gone, Answer if there is none.
	Request *pool.Request
	Answer  *pool.Allocation
	// Ahead is how many are before it, if it waits.
	Ahead int
	Waits *model.Waiting
	Nodes []*pool.Node
}

func requestPage(_ *Server, site *model.Site, r *http.Request) (string, any, bool) {
	d := requestData{Client: r.PathValue("client"), ID: r.PathValue("id")}
	d.Request = one(site.Records.Requests, func(q *pool.Request) bool { return q.Client == d.Client && q.ID == d.ID })
	d.Answer = one(site.Records.Allocations, func(a *pool.Allocation) bool { return a.Client == d.Client && a.ID == d.ID })
	d.Ahead = slices.IndexFunc(site.Queue, func(w model.Waiting) bool { return w.Client == d.Client && w.ID == d.ID })
	if d.Ahead >= 0 {
		d.Waits = &site.Queue[d.Ahead]
	}
	for _, n := range site.Records.Nodes {
		if n.AllocatedTo != nil && n.AllocatedTo.Client == d.Client && n.AllocatedTo.ID == d.ID {
			d.Nodes = append(d.Nodes, shown(n))
		}
	}
	found := d.Request != nil || d.Answer != nil || len(d.Nodes) > 0
	return "Request " + d.Client + "/" + d.ID, d, found
}

// one is the record that fits, or nil.
func one[T any](all []*T, fits func(*T) bool) *T {
	if i := slices.IndexFunc(all, fits); i >= 0 {
		return all[i]
	}
	return nil
}

type imageData struct {
	Image *model.Image
	Name  string
	// Paused says that an operator did.
	Paused  bool
	Builds  []*pool.Build
	Uploads []*pool.Upload
}

func imagePage(_ *Server, site *model.Site, r *http.Request) (string, any, bool) {
	d := imageData{Name: r.PathValue("name")}
	for i := range site.Images.Rows {
		if site.Images.Rows[i].Name == d.Name {
			d.Image = &site.Images.Rows[i]
		}
	}
	d.Builds, d.Paused = site.Records.BuildsOf(d.Name), site.Records.Pause(d.Name) != nil
	for _, u := range site.Records.Uploads {
		if u.Image == d.Name && u.State != pool.UploadDeleted {
			d.Uploads = append(d.Uploads, u)
		}
	}
	slices.SortStableFunc(d.Uploads, func(a, b *pool.Upload) int { return b.Created.Compare(a.Created) })
	return "Image " + d.Name, d, d.Image != nil || len(d.Builds) > 0
}

type providerData struct {
	*model.Provider

	Pools    []pool.Pool
	Failures []model.Failure
	Outcomes []model.Calls
	Boots    bars
	Troubles []model.Trouble
}

func providerPage(_ *Server, site *model.Site, r *http.Request) (string, any, bool) {
	p := site.Provider(r.PathValue("name"))
	if p == nil {
		return "", nil, false
	}
	d := providerData{Provider: p, Boots: drawBoots(p.Boots)}
	if conf := site.Catalog.Provider(p.Name); conf != nil {
		d.Pools = conf.Pools
	}
	for _, f := range site.Failures {
		if f.Provider == p.Name {
			d.Failures = append(d.Failures, f)
		}
	}
	for _, t := range site.Troubles {
		if t.Provider == p.Name {
			d.Troubles = append(d.Troubles, t)
		}
	}
	if p.Seen != nil {
		d.Outcomes = outcomes(p.Seen)
	}
	return "Provider " + p.Name, d, true
}

// offer is where a label is made.
type offer struct {
	Provider, Pool string
	Spec           pool.LabelSpec
	model.Counts
}

type labelData struct {
	*model.Label

	Conf   *pool.Label
	Offers []offer
	Queue  []model.Waiting
}

func labelPage(_ *Server, site *model.Site, r *http.Request) (string, any, bool) {
	l := site.Label(r.PathValue("name"))
	if l == nil {
		return "", nil, false
	}
	d := labelData{Label: l, Conf: site.Catalog.Label(l.Name)}
	for i := range site.Catalog.Providers {
		p := &site.Catalog.Providers[i]
		for j := range p.Pools {
			if spec := p.Pools[j].Label(l.Name); spec != nil {
				o := offer{Provider: p.Name, Pool: p.Pools[j].Name, Spec: *spec}
				o.Counts = model.CountNodes(site.Records.NodesOf(p.Name), o.Pool, l.Name)
				d.Offers = append(d.Offers, o)
			}
		}
	}
	for i := range site.Queue {
		if len(d.Queue) < mostQueued && slices.Contains(site.Queue[i].Labels, l.Name) {
			d.Queue = append(d.Queue, site.Queue[i])
		}
	}
	return "Label " + l.Name, d, true
}

type peerData struct {
	*pool.Member

	Drain *pool.Drain
}

func peerPage(_ *Server, site *model.Site, r *http.Request) (string, any, bool) {
	for _, m := range site.Records.Members {
		if m.Name == r.PathValue("name") {
			return "Peer " + m.Name, peerData{m, site.Records.Drain(m.Name)}, true
		}
	}
	return "", nil, false
}
