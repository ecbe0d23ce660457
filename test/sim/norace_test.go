//go:build !race

package sim

// underRace tells that the race detector makes everything several times slower.
const underRace = false
