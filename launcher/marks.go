package launcher

import (
	"time"

	"poold/cloud"
	"poold/pool"
)

// marks are how far a boot got, and when. They are lost with the process: the
// next one sees for itself how far the instance is.
type marks struct{ active, addressed, reachable time.Time }

// saw notes what was seen of the instance at a time.
func (m *marks) saw(i *cloud.Instance, at time.Time) {
	if i.Status == cloud.StatusActive && m.active.IsZero() {
		m.active = at
	}
}

// reached notes what a reach found that began at a time, as far as it did not say
// so before.
func (m *marks) reached(got *reached, began, end time.Time) {
	if m.addressed.IsZero() && got.ip != "" {
		m.addressed = began
	}
	if m.reachable.IsZero() && got.err == nil {
		m.reachable = end
	}
}

// put writes them into the record of a node whose boot is over.
func (m *marks) put(n *pool.Node) {
	for _, mark := range []struct {
		at time.Time
		to **time.Time
	}{{m.active, &n.Active}, {m.addressed, &n.Addressed}, {m.reachable, &n.Reachable}} {
		if !mark.at.IsZero() && *mark.to == nil {
			at := stamp(mark.at)
			*mark.to = &at
		}
	}
}
