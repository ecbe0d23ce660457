package pool

import "time"

// Role is a part that a peer plays.
type Role string

// The roles; a builder uploads too.
const (
	RoleAllocator Role = "allocator"
	RoleLauncher  Role = "launcher"
	RoleBuilder   Role = "builder"
)

// Member is one running peer, in etcd under its lease.
type Member struct {
	V       int    `json:"v"`
	Name    string `json:"name"`
	Roles   []Role `json:"roles"`
	Version string `json:"version"`
	// Records is the newest version of records that it reads, 0 if it does not
	// say.
	Records int       `json:"records,omitempty"`
	Started time.Time `json:"started"`
	// Configured is when it took its configuration over.
	Configured time.Time `json:"configured,omitzero"`
	Providers  []string  `json:"providers,omitempty"`
	Labels     []string  `json:"labels,omitempty"`
	Images     []string  `json:"images,omitempty"`
	// Builds are the images that it builds whenever it has their duty, nil if its
	// version does not say.
	Builds []string `json:"builds"`
	// Prints are the fingerprints of all that its configuration has; see
	// [Catalog.Prints].
	Prints map[string]string `json:"prints,omitempty"`
	// Uploads are the images that it would have in each provider.
	Uploads map[string][]string `json:"uploads,omitempty"`
	// Owns lists what the peer owns, as "allocator", "provider/NAME",
	// "image/NAME" and "upload/NAME".
	Owns []string `json:"owns,omitempty"`
	// Duties lists what the peer is able to do, by the names of the owners'
	// keys. Each peer works out from them which peer a duty belongs to.
	Duties []string `json:"duties,omitempty"`

	Record
}
