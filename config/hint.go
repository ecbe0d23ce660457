package config

import (
	"fmt"
	"strings"

	"poold/internal/spell"
)

// longestGuess is the length of the longest name that a suggestion is sought
// for.
const longestGuess = 100

// didYouMean returns a hint with the option that is closest to a name, or ""
// if none is close.
func didYouMean(name string, options []string) string {
	if len(name) > longestGuess {
		return ""
	}
	best, least := "", len(name)/3+2
	for _, o := range options {
		if len(o) > longestGuess {
			continue
		}
		if d := spell.Distance(folded(name), folded(o)); d < least {
			best, least = o, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// folded makes spellings alike that people mix up.
func folded(s string) string {
	return strings.ReplaceAll(strings.ToLower(s), "_", "-")
}
