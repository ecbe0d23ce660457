package config

import (
	"fmt"
	"strings"
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
		if d := distance(folded(name), folded(o)); d < least {
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

// distance is how many insertions, deletions and replacements of bytes lie
// between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
