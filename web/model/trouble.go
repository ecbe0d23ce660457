package model

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"poold/pool"
)

// The bounds beyond which something is wrong.
const (
	// SlowEtcd is how long etcd may take to answer.
	SlowEtcd = 500 * time.Millisecond
	// EtcdSilence is how long it may say nothing: it is asked every five seconds.
	EtcdSilence = 20 * time.Second
	// ListSilence is how long lists of a cloud's instances may go without an answer.
	ListSilence = 3 * time.Minute
	// PauseMemory is how long after the end of a pause the cloud is said to refuse
	// calls: between two pauses there is always a call that is taken.
	PauseMemory = 2 * time.Minute
	// DeleteTime is how long a delete may take.
	DeleteTime = 10 * time.Minute
	// UseTime is how long a node may be in use where its label does not say.
	UseTime = 12 * time.Hour
	// WaitTime is how long a request may wait.
	WaitTime = 30 * time.Minute
	// QuotaTime is how long a request may wait for quota.
	QuotaTime = time.Minute
)

// Severity is how bad a trouble is.
type Severity string

// The severities: nodes are not handed out as they should be, or will soon not.
const (
	Bad  Severity = "bad"
	Warn Severity = "warn"
)

// NobodyDoes is the class of what no peer does. Duties change hands, so it is no
// trouble at once.
const NobodyDoes = "nobody-does"

// Trouble is something that is wrong.
type Trouble struct {
	// Class is a word from a small fixed set, the same as in the alerts and the
	// runbook. With Of, it names the trouble for as long as it lasts.
	Class    string   `json:"class"`
	Severity Severity `json:"severity"`
	// Of is who is to blame: a provider, an image, a client, a peer.
	Of string `json:"of,omitempty"`
	// Provider and Image are what it is about, where it is about any.
	Provider string `json:"provider,omitempty"`
	Image    string `json:"image,omitempty"`
	// Text says what is wrong, to a human.
	Text string `json:"text"`
	// Since is when it began; zero if the records do not say.
	Since time.Time `json:"since"`
	// Path is where there is more to see.
	Path string `json:"path"`
}

// Key names the trouble for as long as it lasts.
func (t *Trouble) Key() string { return t.Class + "/" + t.Of }

// troubles lists what is wrong, the worst first, those alike by how long they
// last.
func troubles(in *Input, waiting []Waiting) []Trouble {
	all := slices.Concat(
		etcdTroubles(in), freezeTroubles(in), providerTroubles(in), breakerTroubles(in), deleteTroubles(in),
		imageTroubles(in), quotaTroubles(in, waiting), waitTroubles(in, waiting), useTroubles(in), duties(in),
	)
	severity := severities()
	for i := range all {
		all[i].Severity = severity[all[i].Class]
	}
	slices.SortStableFunc(all, func(a, b Trouble) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), compareSince(a.Since, b.Since))
	})
	return all
}

// compareSince puts what lasts longest first, and what nobody dated last.
func compareSince(a, b time.Time) int {
	if a.IsZero() != b.IsZero() {
		if a.IsZero() {
			return 1
		}
		return -1
	}
	return a.Compare(b)
}

func etcdTroubles(in *Input) []Trouble {
	contact := in.Facts.EtcdContact
	switch {
	case !contact.IsZero() && in.Now.Sub(contact) > EtcdSilence:
		return []Trouble{{
			Class: "etcd-away", Of: "etcd", Since: contact, Path: "/peers",
			Text: "etcd does not answer: nothing is decided, launched or handed out",
		}}
	case in.Facts.EtcdLatency > SlowEtcd:
		return []Trouble{{
			Class: "etcd-slow", Of: "etcd", Path: "/peers",
			Text: fmt.Sprintf("etcd is slow: it takes %v to answer", in.Facts.EtcdLatency.Round(10*time.Millisecond)),
		}}
	}
	return nil
}

func freezeTroubles(in *Input) []Trouble {
	var all []Trouble
	if f := in.Records.Freeze; f != nil {
		all = append(all, Trouble{
			Class: "frozen", Of: f.By, Text: f.Text(), Since: f.At, Path: "/events",
		})
	}
	if n := len(in.Records.Unreadable); n > 0 {
		all = append(all, Trouble{
			Class: "unreadable", Of: "etcd", Path: "/peers",
			Text: fmt.Sprintf("%s cannot be read, first %s", Plural(n, "record", "records"), in.Records.Unreadable[0]),
		})
	}
	return all
}

// providerTroubles are of the clouds themselves.
func providerTroubles(in *Input) []Trouble {
	var all []Trouble
	for i := range in.Catalog.Providers {
		name := in.Catalog.Providers[i].Name
		add := func(class string, since time.Time, text string) {
			all = append(all, Trouble{
				Class: class, Of: name, Provider: name, Text: name + ": " + text, Since: since, Path: ProviderPath(name),
			})
		}
		q := in.Records.Quota(name)
		refused := q != nil && q.Trouble != ""
		if refused {
			add("provider-trouble", q.At, q.Trouble)
		}
		if h := in.Records.Health(name); h != nil {
			swept(h, in.Now, add)
		}
		seen := in.Facts.Clouds[name]
		if !seen.Unanswered.IsZero() && in.Now.Sub(seen.Unanswered) > ListSilence && !refused {
			add("provider-silent", seen.Unanswered, "the cloud does not answer lists of instances")
		}
		if in.Now.Sub(seen.PausedUntil) < PauseMemory {
			add("rate-limited", time.Time{}, "the cloud refuses calls as too many; the last pause is until "+
				seen.PausedUntil.UTC().Format("15:04:05"))
		}
	}
	return all
}

// swept tells of what sweeps found.
func swept(h *pool.Health, now time.Time, add func(class string, since time.Time, text string)) {
	if h.Held(now) {
		add("provider-held", h.Vanished[0].Since,
			Plural(len(h.Vanished), "node seems", "nodes seem")+" to have vanished at once; nothing is launched or deleted there")
	}
	if h.Frozen != "" {
		add("sweep-frozen", deref(h.FrozenSince, h.At), "leaks are not removed: "+h.Frozen)
	}
}

// breakerTroubles tells of launches that fail, for each provider once. Those from
// an image that is bad there are not the cloud's fault, and told of as the image's.
func breakerTroubles(in *Input) []Trouble {
	bad := map[cloudImage]bool{}
	for use, some := range in.Records.Serving() {
		if some[0].Failing != "" {
			bad[cloudImage{use.Provider, some[0].ExternalID}] = true
		}
	}
	var all []Trouble
	breakers := slices.DeleteFunc(slices.Clone(in.Breakers), func(b pool.Breaker) bool { return bad[cloudImage{b.Provider, b.ImageID}] })
	for from := 0; from < len(breakers); {
		to := from
		for to < len(breakers) && breakers[to].Provider == breakers[from].Provider {
			to++
		}
		all = append(all, blame(breakers[from:to]))
		from = to
	}
	return all
}

// cloudImage is an image by its id in a cloud.
type cloudImage struct{ provider, id string }

// inService leaves out the breakers of images that nothing is launched from any
// more: nobody would ever find that they work.
func inService(in *Input) []pool.Breaker {
	launched := map[cloudImage]bool{}
	for _, q := range in.Records.Quotas {
		for _, id := range q.CloudImages {
			launched[cloudImage{q.Provider, id}] = true
		}
	}
	for _, u := range in.Records.Trials() {
		launched[cloudImage{u.Provider, u.ExternalID}] = true
	}
	for use, some := range in.Records.Serving() {
		for _, u := range some {
			launched[cloudImage{use.Provider, u.ExternalID}] = true
			if u.Failing == "" {
				break // of those before it nobody launches
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(in.Breakers), func(b pool.Breaker) bool {
		return b.ImageID != "" && !launched[cloudImage{b.Provider, b.ImageID}]
	})
}

func blame(of []pool.Breaker) Trouble {
	first := slices.MinFunc(of, func(a, b pool.Breaker) int { return a.Since.Compare(b.Since) })
	t := Trouble{
		Class: "launches-fail", Of: first.Provider, Provider: first.Provider, Since: first.Since,
		Path: ProviderPath(first.Provider), Text: first.Provider + ": " + first.Text,
	}
	if len(of) > 1 {
		t.Text += fmt.Sprintf("; %d kinds of launch are stopped", len(of))
	}
	if first.Kind == pool.KindCapacity {
		t.Class, t.Text = "cloud-full", first.Provider+" is full: "+first.Text
	}
	return t
}

// deleteTroubles tells of deletes that take too long.
func deleteTroubles(in *Input) []Trouble {
	return grouped(in.Records.Nodes, func(n *pool.Node) string {
		if n.State == pool.NodeDeleting && in.Now.Sub(n.Since) > DeleteTime {
			return n.Provider
		}
		return ""
	}, func(provider string, count int, since time.Time) Trouble {
		return Trouble{
			Class: "deletes-stuck", Of: provider, Provider: provider, Since: since,
			Text: provider + ": " + Plural(count, "delete is stuck, and books quota", "deletes are stuck, and book quota"),
			Path: "/nodes?state=deleting&provider=" + escape(provider),
		}
	})
}

// useTroubles tells of clients that keep nodes for too long.
func useTroubles(in *Input) []Trouble {
	most := map[string]time.Duration{}
	for i := range in.Catalog.Labels {
		most[in.Catalog.Labels[i].Name] = in.Catalog.Labels[i].MaxInUseAge
	}
	return grouped(in.Records.Nodes, func(n *pool.Node) string {
		limit := cmp.Or(most[n.Label], UseTime)
		if n.State == pool.NodeInUse && n.AllocatedTo != nil && in.Now.Sub(n.Since) > limit {
			return n.AllocatedTo.Client
		}
		return ""
	}, func(client string, count int, since time.Time) Trouble {
		return Trouble{
			Class: "never-released", Of: client, Since: since,
			Text: fmt.Sprintf("client %s keeps %s for very long", client, Plural(count, "node", "nodes")),
			Path: "/nodes?state=in-use&client=" + escape(client),
		}
	})
}

// grouped makes a trouble of the nodes that have the same name, which is empty
// for those that are well.
func grouped(nodes []*pool.Node, name func(*pool.Node) string, tell func(string, int, time.Time) Trouble) []Trouble {
	count, since := map[string]int{}, map[string]time.Time{}
	var order []string
	for _, n := range nodes {
		of := name(n)
		if of == "" {
			continue
		}
		if count[of] == 0 {
			order = append(order, of)
			since[of] = n.Since
		}
		count[of]++
		if n.Since.Before(since[of]) {
			since[of] = n.Since
		}
	}
	var all []Trouble
	for _, of := range order {
		all = append(all, tell(of, count[of], since[of]))
	}
	return all
}

// quotaTroubles tells of providers whose quota keeps requests waiting.
func quotaTroubles(in *Input, waiting []Waiting) []Trouble {
	type shortage struct {
		since time.Time
		count int
		why   string
	}
	of := map[string]shortage{}
	for i := range waiting {
		w := &waiting[i]
		if w.Since.IsZero() || in.Now.Sub(w.Since) < QuotaTime {
			continue
		}
		for _, r := range w.Reasons {
			if r.Class != "quota" {
				continue
			}
			s := of[r.Provider]
			if s.count++; s.count == 1 || w.Since.Before(s.since) {
				s.since, s.why = w.Since, r.Text
			}
			of[r.Provider] = s
		}
	}
	var all []Trouble
	for i := range in.Catalog.Providers {
		name := in.Catalog.Providers[i].Name
		s := of[name]
		if s.count == 0 {
			continue
		}
		text := fmt.Sprintf("%s: the quota is used up: %s; %s", name, s.why, Plural(s.count, "request waits", "requests wait"))
		if n := held(in.Records.NodesOf(name)); n > 0 {
			text += "; " + Plural(n, "node is held", "nodes are held")
		}
		all = append(all, Trouble{
			Class: "quota-full", Of: name, Provider: name, Since: s.since, Path: ProviderPath(name), Text: text,
		})
	}
	return all
}

// held counts the nodes that are kept for a human.
func held(nodes []*pool.Node) (n int) {
	for _, node := range nodes {
		if node.State == pool.NodeHold {
			n++
		}
	}
	return n
}

// waitTroubles tells of the request that has waited longest.
func waitTroubles(in *Input, waiting []Waiting) []Trouble {
	var worst *Waiting
	count := 0
	for i := range waiting {
		w := &waiting[i]
		if w.Since.IsZero() || in.Now.Sub(w.Since) < WaitTime {
			continue
		}
		if count++; worst == nil || w.Since.Before(worst.Since) {
			worst = w
		}
	}
	if worst == nil {
		return nil
	}
	return []Trouble{{
		Class: "waits-long", Of: worst.Client + "/" + worst.ID, Since: worst.Since,
		Text: fmt.Sprintf("%s very long, longest %s/%s: %s", Plural(count, "request waits", "requests wait"), worst.Client, worst.ID,
			cmp.Or(worst.Why(), "no reason is on record")),
		Path: RequestPath(worst.Client, worst.ID),
	}}
}

// Plural is a number of things, in words.
func Plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// deref is the time that there is.
func deref(t *time.Time, otherwise time.Time) time.Time {
	if t == nil {
		return otherwise
	}
	return *t
}

// Unlimited tells whether a rate is no limit.
func Unlimited(rate float64) bool { return rate == 0 || math.IsInf(rate, 1) }

// Class is a kind of trouble, and how bad each of them is.
type Class struct {
	Name     string
	Severity Severity
}

// Classes lists the classes of troubles. Each has an alert and an entry in the
// runbook.
func Classes() []Class {
	return []Class{
		{"etcd-away", Bad},
		{"etcd-slow", Bad},
		{"unreadable", Bad},
		{"frozen", Bad},
		{NobodyDoes, Bad},
		{"provider-trouble", Bad},
		{"provider-silent", Bad},
		{"provider-held", Bad},
		{"sweep-frozen", Warn},
		{"rate-limited", Warn},
		{"launches-fail", Bad},
		{"cloud-full", Warn},
		{"quota-full", Warn},
		{"deletes-stuck", Warn},
		{"image-bad", Bad},
		{"build-fails", Warn},
		{"upload-fails", Warn},
		{"never-released", Warn},
		{"waits-long", Warn},
	}
}

// severities are those of all classes.
func severities() map[string]Severity {
	of := map[string]Severity{}
	for _, c := range Classes() {
		of[c.Name] = c.Severity
	}
	return of
}
