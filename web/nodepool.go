package web

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"go.uber.org/zap"

	"poold/pool"
)

// cell is one value of a row of nodepool's lists: its key in JSON, its title
// in text.
type cell struct {
	key, title string
	value      any
}

// oldLists maps the paths of nodepool's web server to their lists. Keys,
// titles and units are nodepool's, as far as poold has what they name: ages
// are seconds since the epoch in the lists of images and a text in the list of
// nodes.
func (s *Server) oldLists() map[string]func(*pool.Snapshot, *http.Request) [][]cell {
	return map[string]func(*pool.Snapshot, *http.Request) [][]cell{
		"/node-list":      oldNodes,
		"/request-list":   func(n *pool.Snapshot, _ *http.Request) [][]cell { return oldRequests(n) },
		"/image-list":     func(n *pool.Snapshot, _ *http.Request) [][]cell { return oldUploads(n) },
		"/dib-image-list": func(n *pool.Snapshot, _ *http.Request) [][]cell { return oldBuilds(n) },
		"/image-status":   func(n *pool.Snapshot, _ *http.Request) [][]cell { return oldStatus(n, s.Catalog()) },
		"/label-list":     func(*pool.Snapshot, *http.Request) [][]cell { return oldLabels(s.Catalog()) },
	}
}

// old answers one of nodepool's lists, as JSON for who accepts that and else
// as a text table, with the fields that were asked for.
func (s *Server) old(list func(*pool.Snapshot, *http.Request) [][]cell) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		snapshot := s.Snapshot()
		if snapshot == nil {
			s.reply(w, http.StatusServiceUnavailable, problem{errUnread})
			return
		}
		rows := chosen(list(snapshot, r), r.URL.Query().Get("fields"))
		if strings.Contains(r.Header.Get("Accept"), "application/json") {
			s.oldJSON(w, rows)
			return
		}
		s.oldText(w, rows)
	}
}

// oldReady is nodepool's readiness: a status, and a word in the body.
func (s *Server) oldReady(w http.ResponseWriter, _ *http.Request) {
	for _, c := range s.Ready() {
		if c.Problem != "" {
			http.Error(w, "NOT READY", http.StatusServiceUnavailable)
			return
		}
	}
	http.Error(w, "OK", http.StatusOK)
}

// chosen keeps the fields that are listed, separated by commas; all of them if
// none is.
func chosen(rows [][]cell, fields string) [][]cell {
	if fields == "" {
		return rows
	}
	want := strings.Split(fields, ",")
	for i := range rows {
		rows[i] = slices.DeleteFunc(rows[i], func(c cell) bool { return !slices.Contains(want, c.key) })
	}
	return rows
}

func (s *Server) oldJSON(w http.ResponseWriter, rows [][]cell) {
	items := make([]map[string]any, 0, len(rows))
	for _, row := range rows {
		item := make(map[string]any, len(row))
		for _, c := range row {
			item[c.key] = c.value
		}
		items = append(items, item)
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(items); err != nil {
		s.Log.Debug("answer not delivered", zap.Error(err))
	}
}

func (s *Server) oldText(w http.ResponseWriter, rows [][]cell) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for i, row := range rows {
		if i == 0 {
			line(tw, row, func(c cell) string { return c.title })
		}
		line(tw, row, func(c cell) string { return text(c.value) })
	}
	if err := tw.Flush(); err != nil {
		s.Log.Debug("answer not delivered", zap.Error(err))
	}
}

func line(tw *tabwriter.Writer, row []cell, of func(cell) string) {
	cells := make([]string, 0, len(row))
	for _, c := range row {
		cells = append(cells, of(c))
	}
	_, _ = fmt.Fprintln(tw, strings.Join(cells, "\t")) // Flush reports it
}

// text is a value in a table.
func text(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case []string:
		return strings.Join(v, ",")
	}
	return fmt.Sprint(value)
}

// oldState is nodepool's word for a node's state.
func oldState(s pool.NodeState) string {
	if s == pool.NodePending {
		return "init"
	}
	return string(s)
}

// oldNodes lists the nodes that exist, or the one that node_id names.
func oldNodes(s *pool.Snapshot, r *http.Request) [][]cell {
	rows := [][]cell{}
	only := r.URL.Query().Get("node_id")
	for _, n := range nodes(s) {
		if n.State.Live() && (only == "" || only == string(n.ID)) {
			rows = append(rows, oldNode(n, time.Now()))
		}
	}
	return rows
}

func oldNode(n *pool.Node, now time.Time) []cell {
	public, private, v6 := oldAddresses(n)
	requestor := ""
	if n.AllocatedTo != nil {
		requestor = n.AllocatedTo.Client + "/" + n.AllocatedTo.ID
	}
	return []cell{
		{"id", "ID", n.ID},
		{"provider", "Provider", n.Provider},
		{"label", "Label", []string{n.Label}},
		{"server_id", "Server ID", n.InstanceID},
		{"public_ipv4", "Public IPv4", public},
		{"ipv6", "IPv6", v6},
		{"state", "State", oldState(n.State)},
		{"age", "Age", oldAge(now.Sub(n.Since))},
		{"locked", "Locked", locked(n)},
		{"pool", "Pool", n.Pool},
		{"hostname", "Hostname", n.Name()},
		{"private_ipv4", "Private IPv4", private},
		{"AZ", "AZ", n.AZ},
		{"username", "Username", n.Username},
		{"connection_port", "Port", n.Port},
		{"allocated_to", "Allocated To", requestor},
		{"comment", "Comment", cmp.Or(n.HoldReason, n.Reason)},
	}
}

// oldAddresses sorts a node's addresses into nodepool's three.
func oldAddresses(n *pool.Node) (public, private, v6 string) {
	for _, a := range n.Addresses {
		switch {
		case a.Version == 6:
			v6 = cmp.Or(v6, a.IP)
		case a.Floating || a.IP == n.InterfaceIP:
			public = cmp.Or(public, a.IP)
		default:
			private = cmp.Or(private, a.IP)
		}
	}
	return public, private, v6
}

// locked is nodepool's word for whether somebody works with a node.
func locked(n *pool.Node) string {
	if n.State == pool.NodeReady && n.AllocatedTo == nil || n.State == pool.NodeHold {
		return "unlocked"
	}
	return "locked"
}

// oldAge is days, hours, minutes and seconds.
func oldAge(d time.Duration) string {
	s := int64(max(0, d) / time.Second)
	return fmt.Sprintf("%02d:%02d:%02d:%02d", s/86400, s/3600%24, s/60%60, s%60)
}

// oldRequests lists the requests in nodepool's words: requested, fulfilled,
// failed.
func oldRequests(s *pool.Snapshot) [][]cell {
	rows := [][]cell{}
	relative := map[[2]string]int{}
	for _, r := range s.Requests {
		relative[[2]string{r.Client, r.ID}] = r.RelativePriority
	}
	for _, r := range requests(s) {
		state := string(r.State)
		if r.State == pool.AllocationWaiting {
			state = "requested"
		}
		given := make([]string, 0, len(r.Nodes))
		for _, id := range r.Nodes {
			given = append(given, string(id))
		}
		rows = append(rows, []cell{
			{"id", "Request ID", r.ID},
			{"relative_priority", "Priority", relative[[2]string{r.Client, r.ID}]},
			{"state", "State", state},
			{"requestor", "Requestor", r.Client},
			{"node_types", "Node Types", r.Labels},
			{"nodes", "Nodes", given},
			{"declined_by", "Declined By", []string{}},
		})
	}
	return rows
}

// oldUploads lists what is in the clouds.
func oldUploads(s *pool.Snapshot) [][]cell {
	rows := [][]cell{}
	for _, u := range s.Uploads {
		if u.State == pool.UploadDeleted {
			continue
		}
		state := string(u.State)
		if u.State == pool.UploadPending || u.State == pool.UploadTrial {
			state = string(pool.UploadUploading)
		}
		rows = append(rows, []cell{
			{"id", "Build ID", u.Build},
			{"upload_id", "Upload ID", u.Build},
			{"provider", "Provider", u.Provider},
			{"image", "Image", u.Image},
			{"external_name", "Provider Image Name", u.ExternalName},
			{"external_id", "Provider Image ID", u.ExternalID},
			{"state", "State", state},
			{"age", "Age", u.Since.Unix()},
		})
	}
	return rows
}

// oldBuilds lists what was built.
func oldBuilds(s *pool.Snapshot) [][]cell {
	rows := [][]cell{}
	for _, b := range s.Builds {
		if b.State == pool.BuildDeleted {
			continue
		}
		formats := make([]string, 0, len(b.Artifacts))
		for _, a := range b.Artifacts {
			formats = append(formats, a.Format)
		}
		rows = append(rows, []cell{
			{"id", "ID", b.Image + "-" + b.ID},
			{"image", "Image", b.Image},
			{"builder", "Builder", b.Builder},
			{"formats", "Formats", formats},
			{"state", "State", string(b.State)},
			{"age", "Age", b.Since.Unix()},
		})
	}
	return rows
}

// oldStatus says of every image whether builds are paused and one is under
// way or asked for.
func oldStatus(s *pool.Snapshot, c *pool.Catalog) [][]cell {
	rows := make([][]cell, 0, len(c.Images))
	for i := range c.Images {
		asked, since := building(s, c.Images[i].Name)
		row := []cell{
			{"image", "Image", c.Images[i].Name},
			{"paused", "Paused", c.Images[i].Paused || s.Pause(c.Images[i].Name) != nil},
			{"build_request", "Build Request", asked},
			{"build_request_age", "Build Request Age", nil},
		}
		if !since.IsZero() {
			row[3].value = since.Unix()
		}
		rows = append(rows, row)
	}
	return rows
}

// building says whether an image is being built, or is asked to be, and since
// when.
func building(s *pool.Snapshot, image string) (state any, since time.Time) {
	for _, b := range s.Builds {
		if b.Image == image && b.State == pool.BuildBuilding {
			return "building", b.Since
		}
	}
	for _, c := range s.Commands {
		if c.Verb == pool.VerbBuild && c.Target == image && !c.Done {
			return "pending", c.At
		}
	}
	return nil, time.Time{}
}

// oldLabels lists the labels that a pool offers.
func oldLabels(c *pool.Catalog) [][]cell {
	var names []string
	for i := range c.Providers {
		for j := range c.Providers[i].Pools {
			for k := range c.Providers[i].Pools[j].Labels {
				names = append(names, c.Providers[i].Pools[j].Labels[k].Name)
			}
		}
	}
	slices.Sort(names)
	rows := [][]cell{}
	for _, name := range slices.Compact(names) {
		rows = append(rows, []cell{{"label", "Label", name}})
	}
	return rows
}
