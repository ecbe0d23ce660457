package pool

import (
	"slices"
	"time"
)

// Leak is something in a cloud with our mark that no record explains, as the
// sweeps of a provider's owner saw it.
type Leak struct {
	// Kind is what it is: "instance", "floating-ip", "keypair".
	Kind string `json:"kind"`
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	// Why is what makes it a leak, for a human.
	Why string `json:"why"`
	// Since is when a sweep saw it first.
	Since time.Time `json:"since"`
	// Created is when the cloud made it; nil if the cloud does not say.
	Created *time.Time `json:"created,omitempty"`
	// Goes is from when on a sweep removes it; nil if it stays until an
	// operator agrees.
	Goes *time.Time `json:"goes,omitempty"`
	// ByHand says that only a human can know that it is not needed: it goes
	// when it is deleted by name, and an agreement to all does not mean it.
	ByHand bool `json:"by_hand,omitempty"`
	// AgreedUntil ends an operator's agreement to remove it; nil if there is
	// none.
	AgreedUntil *time.Time `json:"agreed_until,omitempty"`
	AgreedBy    string     `json:"agreed_by,omitempty"`
}

// Key names a leak within its provider.
func (l *Leak) Key() string { return l.Kind + "/" + l.ID }

// Agreed tells whether an operator's agreement holds.
func (l *Leak) Agreed(now time.Time) bool { return l.AgreedUntil != nil && now.Before(*l.AgreedUntil) }

// Health is what the owner of a provider found when it compared the cloud with
// the records. It is replaced when it changes, and now and then without a
// change, so that its age tells of a time in which nobody compared.
type Health struct {
	V        int    `json:"v"`
	Provider string `json:"provider"`
	// At is when the record was written.
	At time.Time `json:"at"`
	// Watched is since when there was always an owner who compared. Whatever
	// is older may have had a record that was lost meanwhile.
	Watched time.Time `json:"watched"`
	Leaks   []Leak    `json:"leaks,omitempty"`
	// Frozen is why nothing is removed until an operator agrees; empty if
	// leaks are removed when their time comes.
	Frozen      string     `json:"frozen,omitempty"`
	FrozenSince *time.Time `json:"frozen_since,omitempty"`

	Record
}

// Leak returns a leak by its key, or nil.
func (h *Health) Leak(key string) *Leak {
	for i := range h.Leaks {
		if h.Leaks[i].Key() == key {
			return &h.Leaks[i]
		}
	}
	return nil
}

// Clone returns a copy that can be changed without changing h; what its times
// point to is shared.
func (h *Health) Clone() *Health {
	c := *h
	c.Leaks = slices.Clone(h.Leaks)
	return &c
}
