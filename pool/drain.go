package pool

import "time"

// Drain has a peer hand its duties over to others, and take none while there is
// another that can do them. It is there or not; an operator makes and removes
// it, and it outlives the peer.
type Drain struct {
	V      int       `json:"v"`
	Peer   string    `json:"peer"`
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`

	Record
}
