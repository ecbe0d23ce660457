package pool

import "time"

// Freeze says that nothing is launched anywhere. An operator makes it, and it
// lasts until an operator removes it.
type Freeze struct {
	V int `json:"v"`
	// By is who froze it, and why, for whoever wonders.
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`

	Record
}

// Text says who froze it and why.
func (f *Freeze) Text() string {
	s := "launching is frozen by " + f.By
	if f.Reason != "" {
		s += ": " + f.Reason
	}
	return s
}
