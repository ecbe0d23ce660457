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

// Vanished is a node whose instance the cloud does not know, together with so
// many others that it is not believed.
type Vanished struct {
	Node       NodeID `json:"node"`
	InstanceID string `json:"instance_id"`
	// Since is when the cloud said so first.
	Since time.Time `json:"since"`
	// AgreedUntil ends an operator's agreement that it is so; nil if there is
	// none.
	AgreedUntil *time.Time `json:"agreed_until,omitempty"`
	AgreedBy    string     `json:"agreed_by,omitempty"`
}

// Key names it within its provider, among the leaks.
func (v *Vanished) Key() string { return "node/" + string(v.Node) }

// Agreed tells whether an operator's agreement holds.
func (v *Vanished) Agreed(now time.Time) bool {
	return v.AgreedUntil != nil && now.Before(*v.AgreedUntil)
}

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
	// Vanished are nodes that may be all right, in a project that is not the
	// one we look at; see [Health.Held].
	Vanished []Vanished `json:"vanished,omitempty"`

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

// Gone returns what is on record of a node that seems to have vanished, or nil.
func (h *Health) Gone(node NodeID) *Vanished {
	for i := range h.Vanished {
		if h.Vanished[i].Node == node {
			return &h.Vanished[i]
		}
	}
	return nil
}

// Held tells whether nothing is launched or deleted in the provider, because
// so much seems to have vanished and nobody has agreed that it did.
func (h *Health) Held(now time.Time) bool {
	return h != nil && slices.ContainsFunc(h.Vanished, func(v Vanished) bool { return !v.Agreed(now) })
}

// Clone returns a copy that can be changed without changing h; what its times
// point to is shared.
func (h *Health) Clone() *Health {
	c := *h
	c.Leaks, c.Vanished = slices.Clone(h.Leaks), slices.Clone(h.Vanished)
	return &c
}
