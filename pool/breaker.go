package pool

import "time"

// Breaker is one kind of launch that is stopped because it failed, for a
// reader. It follows from the records of nodes and is on record nowhere.
type Breaker struct {
	Provider string `json:"provider"`
	Pool     string `json:"pool"`
	// AZ is empty where the cloud chooses, ImageID where every image fails.
	AZ       string `json:"az,omitempty"`
	ImageID  string `json:"image_id,omitempty"`
	FlavorID string `json:"flavor_id,omitempty"`
	// Kind and Last are of the newest failure, Text tells of all of them.
	Kind Kind   `json:"kind"`
	Last NodeID `json:"last"`
	Text string `json:"text"`
	// Since is the first failure in a row; Next is when a launch is tried, nil
	// while one is under way.
	Since time.Time  `json:"since"`
	Next  *time.Time `json:"next,omitempty"`
}
