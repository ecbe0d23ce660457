package pool

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Flavor is one of the cloud's sizes.
type Flavor struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Cores  int64  `json:"cores"`
	RAMMiB int64  `json:"ram_mib"`
	DiskGB int64  `json:"disk_gb"`
}

// Quota is what the owner of a provider knows about what can be had there:
// limits, what others use of them, and the facts that a launch is made from.
// It is replaced when it changes.
type Quota struct {
	V        int    `json:"v"`
	Provider string `json:"provider"`
	// At is when the cloud was asked.
	At time.Time `json:"at"`
	// Asked is the revision of the records as of which the cloud was asked.
	// Wanted is the one that the allocator wants it to be at least, before it
	// fails what the cloud does not have: written by the allocator.
	Asked  int64  `json:"asked,omitempty"`
	Wanted int64  `json:"wanted,omitempty"`
	Limits Limits `json:"limits"`
	// Foreign is what is used in the project by others than us.
	Foreign Resources `json:"foreign"`
	// Lowered is a limit that a quota fault taught us; it holds until the
	// next poll of the cloud. Nil if none did.
	Lowered *Limits  `json:"lowered,omitempty"`
	Flavors []Flavor `json:"flavors,omitempty"`
	// Zones are the availability zones that are available.
	Zones []string `json:"zones,omitempty"`
	// Down says of static hosts that cannot be lent now why, by zone.
	Down map[string]string `json:"down,omitempty"`
	// CloudImages maps the names of the configuration's cloud images to ids.
	CloudImages map[string]string `json:"cloud_images,omitempty"`
	// Trouble is why the provider cannot launch at all, e.g. refused
	// credentials; empty if it can.
	Trouble string `json:"trouble,omitempty"`

	Record
}

// Flavor chooses the flavor of a label by nodepool's rules: a name alone is a
// flavor's exact name or id; with a least RAM it is a part of the name, and
// the smallest flavor by (RAM, name) that has enough is taken. It returns
// false if there is none.
func (q *Quota) Flavor(l *LabelSpec) (Flavor, bool) {
	if l.MinRAMMiB <= 0 {
		for _, f := range q.Flavors {
			if f.Name == l.FlavorName || f.ID == l.FlavorName {
				return f, true
			}
		}
		return Flavor{}, false
	}
	sorted := slices.SortedFunc(slices.Values(q.Flavors), func(a, b Flavor) int {
		return cmp.Or(cmp.Compare(a.RAMMiB, b.RAMMiB), cmp.Compare(a.Name, b.Name))
	})
	for _, f := range sorted {
		if f.RAMMiB >= l.MinRAMMiB && strings.Contains(f.Name, l.FlavorName) {
			return f, true
		}
	}
	return Flavor{}, false
}
