package chaos

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// held is what a client knows of one slot, a node or its address: between asked
// and answered it became the client's, and between back and gone it ceased to be.
type held struct {
	slot, who       string
	asked, answered time.Time
	// back is zero if the client never gave it back, gone if it does not know
	// whether it did.
	back, gone time.Time
}

// move is what is done with a slot: who takes it, or gives it back.
type move struct {
	who  string
	back bool
}

// slots is how a slot behaves: its state is who has it, and nobody takes what
// somebody has.
func slots() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, _ any) (bool, any) {
			m, ok := input.(move)
			switch {
			case !ok:
				return false, state
			case m.back:
				return state == m.who, ""
			}
			return state == "", m.who
		},
	}
}

// shared lists the slots that more than one had at a time: for which there is no
// order of what the clients did that explains what they saw (I1). It looks at
// their own words only, and at no record.
func shared(all []held) []string {
	history, users := map[string][]porcupine.Operation{}, map[string][]string{}
	for i := range all {
		h := &all[i]
		begin := all[0].asked // so that the steady clock counts
		at := func(t time.Time) int64 {
			if t.IsZero() {
				return math.MaxInt64
			}
			return int64(t.Sub(begin))
		}
		history[h.slot] = append(history[h.slot], porcupine.Operation{
			ClientId: i, Input: move{who: h.who}, Call: at(h.asked), Return: at(h.answered),
		})
		if !h.back.IsZero() {
			history[h.slot] = append(history[h.slot], porcupine.Operation{
				ClientId: i, Input: move{who: h.who, back: true}, Call: at(h.back), Return: at(h.gone),
			})
		}
		users[h.slot] = append(users[h.slot], h.who)
	}
	var problems []string
	for _, slot := range slices.Sorted(maps.Keys(history)) {
		if !porcupine.CheckOperations(slots(), history[slot]) {
			problems = append(problems, fmt.Sprintf("%s was had by more than one at a time: %s", slot, strings.Join(users[slot], ", ")))
		}
	}
	return problems
}
