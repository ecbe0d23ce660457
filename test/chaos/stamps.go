package chaos

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// apart is by how much two records may be stamped differently: more than a stamp is
// old before it is written and seen, and less than the clocks are wrong.
const apart = 5 * time.Minute

// astray says of the first record of a node or an allocation that was stamped by
// another clock than the others before it, and how many more were: peers agree on
// the time.
func astray(history []event) []string {
	var problem string
	wrong := 0
	var first *time.Duration
	stamped := map[string]time.Time{}
	for _, e := range history {
		key := strings.TrimPrefix(e.key, prefix)
		if !strings.HasPrefix(key, "nodes/") && !strings.HasPrefix(key, "allocations/") {
			continue
		}
		var r struct{ Since time.Time }
		if json.Unmarshal(e.value, &r) != nil || r.Since.IsZero() || r.Since.Equal(stamped[key]) {
			continue // it is as old as it was
		}
		stamped[key] = r.Since
		ahead := r.Since.Sub(e.at)
		if first == nil {
			first = &ahead
		}
		if d := ahead - *first; d.Abs() > apart {
			if wrong++; wrong == 1 {
				problem = fmt.Sprintf("at revision %d %s: it is stamped by a clock that differs by %v from the others'",
					e.revision, e.key, d.Round(time.Second))
			}
		}
	}
	if wrong == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s, and so are %d more", problem, wrong-1)}
}
