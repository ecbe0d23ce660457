package pool

// Penalty is what the owner of a rate group learned from the cloud's refusals, for
// the next owner.
type Penalty struct {
	V int `json:"v"`
	// Group is what shares the rate: a rate group, for launching or for images.
	Group string `json:"group"`
	// PauseMS is for how many milliseconds the cloud was to be left alone when
	// it last refused a call; 0 once that is over. It is a duration and not a
	// moment because the clocks of peers differ: a next owner that finds one
	// serves all of it.
	PauseMS int64 `json:"pause_ms,omitempty"`
	// Rates are how many calls a second the cloud takes, by service, where it
	// taught us.
	Rates map[string]float64 `json:"rates,omitempty"`

	Record
}
