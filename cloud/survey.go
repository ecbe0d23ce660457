package cloud

import "context"

// NamedKind is a kind of thing that a configuration refers to by name, in the
// words of a sentence.
type NamedKind string

// The kinds of things with names.
const (
	NamedNetwork       NamedKind = "network"
	NamedSecurityGroup NamedKind = "security group"
	NamedKeyPair       NamedKind = "key pair"
	NamedServerGroup   NamedKind = "server group"
	// NamedFormat is a disk format that images may have.
	NamedFormat NamedKind = "disk format"
)

// Named is something that is there. What has no id of its own has only a name.
type Named struct{ ID, Name string }

// Surveyor is the ability to tell what there is. It changes nothing.
type Surveyor interface {
	// Has tells whether the region has a service. It logs in, and asks nothing
	// else.
	Has(ctx context.Context, service Service) (bool, error)
	// Names lists what there is of a kind. NotFound says that the cloud cannot
	// tell.
	Names(ctx context.Context, kind NamedKind) ([]Named, error)
}
