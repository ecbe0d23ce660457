package pool

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Prints are the fingerprints of what a catalog has, as "provider/NAME",
// "label/NAME" and "image/NAME". Peers whose prints of something differ
// contradict each other. What a file only names, because another peer's says the
// rest, has none: real sites have a file for launchers and one for builders.
func (c *Catalog) Prints() (map[string]string, error) {
	prints := map[string]string{}
	add := func(key string, value any) error {
		text, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("fingerprint of %s: %w", key, err)
		}
		sum := sha256.Sum256(text)
		prints[key] = hex.EncodeToString(sum[:8])
		return nil
	}
	for i := range c.Providers {
		if !c.Providers[i].Launches() {
			continue
		}
		if err := add("provider/"+c.Providers[i].Name, &c.Providers[i]); err != nil {
			return nil, err
		}
	}
	for i := range c.Labels {
		if c.Labels[i].Plain() {
			continue
		}
		if err := add("label/"+c.Labels[i].Name, &c.Labels[i]); err != nil {
			return nil, err
		}
	}
	for i := range c.Images {
		if !c.Images[i].Recipe() {
			continue
		}
		if err := add("image/"+c.Images[i].Name, &c.Images[i]); err != nil {
			return nil, err
		}
	}
	return prints, nil
}

// Disputed tells whether peers have something, such as "provider/NAME", and do
// not agree on what it is; and whether any has it at all.
func (s *Snapshot) Disputed(key string) (disputed, known bool) {
	first := ""
	for _, m := range s.Members {
		if mine, ok := m.print(key); ok {
			disputed = disputed || known && mine != first
			first, known = mine, true
		}
	}
	return disputed, known
}

// print is what a peer has under a key, if it has that. A peer of an older
// version does not say, and agrees with nobody who does.
func (m *Member) print(key string) (string, bool) {
	if m.Prints != nil {
		found, ok := m.Prints[key]
		return found, ok
	}
	kind, name, _ := strings.Cut(key, "/")
	has := map[string][]string{"provider": m.Providers, "label": m.Labels, "image": m.Images}
	return "", slices.Contains(has[kind], name)
}

// Sides are the peers that have something, those together that agree; of a
// dispute there are at least two.
func (s *Snapshot) Sides(key string) [][]string {
	var prints []string
	var sides [][]string
	for _, m := range s.Members {
		mine, ok := m.print(key)
		if !ok {
			continue
		}
		i := slices.Index(prints, mine)
		if i < 0 {
			i, prints, sides = len(prints), append(prints, mine), append(sides, nil)
		}
		sides[i] = append(sides[i], m.Name)
	}
	return sides
}

// Disputes are all that peers do not agree on, sorted.
func (s *Snapshot) Disputes() []string {
	found := map[string]bool{}
	for _, m := range s.Members {
		for key := range m.Prints {
			found[key], _ = s.Disputed(key)
		}
	}
	maps.DeleteFunc(found, func(_ string, disputed bool) bool { return !disputed })
	return slices.Sorted(maps.Keys(found))
}
