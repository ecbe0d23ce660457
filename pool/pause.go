package pool

import "time"

// Pause stops the builds of an image, or the launches in a provider: one of the
// two is named. It is there or not; an operator makes and removes it, and it holds
// whoever runs. The configuration can pause an image as well.
type Pause struct {
	V        int       `json:"v"`
	Image    string    `json:"image,omitempty"`
	Provider string    `json:"provider,omitempty"`
	By       string    `json:"by"`
	Reason   string    `json:"reason,omitempty"`
	At       time.Time `json:"at"`

	Record
}

// Text says so for a reader.
func (p *Pause) Text() string {
	if p.Reason == "" {
		return "paused by " + p.By
	}
	return "paused by " + p.By + ": " + p.Reason
}
