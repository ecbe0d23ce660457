package pool

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Explanation is what becomes of a request, and why.
type Explanation struct {
	Client   string   `json:"client"`
	ID       string   `json:"id"`
	Labels   []string `json:"labels"`
	Priority int      `json:"priority"`
	// At is the time it is about.
	At time.Time `json:"at"`
	// Waited is how long it has waited in whole seconds, or had when it was
	// answered; Ahead how many requests are before it.
	Waited int64 `json:"waited_seconds"`
	Ahead  int   `json:"ahead"`
	// Places are where its nodes might come from, best first.
	Places []Place `json:"places,omitempty"`
	// Outcome is what was decided.
	Outcome string `json:"outcome"`
}

// Place is a pool and zone as a request finds them.
type Place struct {
	Provider string `json:"provider"`
	Pool     string `json:"pool"`
	// AZ is empty where the cloud chooses.
	AZ string `json:"az,omitempty"`
	// Class is that of a [Reason], or empty if the request can have its nodes
	// here.
	Class string `json:"class,omitempty"`
	Text  string `json:"text"`
	// Next is when it is tried again; nil if that is not a matter of time.
	Next *time.Time `json:"next,omitempty"`
}

// Where names the place for a reader.
func (p *Place) Where() string {
	if p.AZ == "" {
		return p.Provider + "/" + p.Pool
	}
	return p.Provider + "/" + p.Pool + "/" + p.AZ
}

// Intro is the explanation's beginning, for a reader.
func (e *Explanation) Intro() string {
	return fmt.Sprintf("Request %s/%s asks for %s at priority %d; it has waited for %s, behind %d others.",
		e.Client, e.ID, strings.Join(e.Labels, ", "), e.Priority, time.Duration(e.Waited)*time.Second, e.Ahead)
}

// String is the whole explanation for a reader.
func (e *Explanation) String() string {
	var b strings.Builder
	fmt.Fprintln(&b, e.Intro())
	for i := range e.Places {
		p := &e.Places[i]
		fmt.Fprintf(&b, "  %s: %s: %s", p.Where(), cmp.Or(p.Class, "ok"), p.Text)
		if p.Next != nil {
			fmt.Fprintf(&b, " (next at %s)", p.Next.Format("15:04:05"))
		}
		b.WriteByte('\n')
	}
	fmt.Fprintln(&b, e.Outcome)
	return b.String()
}
