package cloud

import (
	"context"
	"io"
	"time"

	"poold/pool"
)

// BatchSpec asks for Count instances that are alike.
type BatchSpec struct {
	Mark Mark
	// Name and Count give the names, see [pool.InstanceName].
	Name     string
	Count    int
	FlavorID string
	ImageID  string
	AZ       string
	// Networks are names or ids; empty leaves it to the cloud.
	Networks       []string
	SecurityGroups []string
	// KeyName is a key pair that is there.
	KeyName  string
	UserData string
	// Properties become metadata of each instance; they cannot replace the
	// mark.
	Properties     map[string]string
	ConfigDrive    *bool
	BootFromVolume bool
	VolumeGB       int64
	Tags           []string
	// ServerGroup is the name or id of a server group that is there; Hints is
	// what else the scheduler is told.
	ServerGroup string
	Hints       map[string]string
}

// Status is the state of an instance, as far as poold cares.
type Status string

// The statuses of an instance.
const (
	StatusBuilding Status = "building"
	StatusActive   Status = "active"
	StatusError    Status = "error"
	StatusDeleting Status = "deleting"
	// StatusDeleted is the cloud's word that an instance is gone.
	StatusDeleted Status = "deleted"
	// StatusOther is a state that poold never asks for: stopped, rescued.
	StatusOther Status = "other"
)

// Instance is a virtual machine as the cloud reports it.
type Instance struct {
	ID, Name string
	Status   Status
	// Fault is why the status is error, FaultKind what to do about it. A list
	// may leave them out; a look by id has them.
	Fault     string
	FaultKind Kind
	Mark      Mark
	AZ        string
	HostID    string
	// Addresses are in the cloud's order.
	Addresses []pool.Address
	// AccessIPv4 and AccessIPv6 are what the cloud says to connect to, mostly
	// nothing.
	AccessIPv4, AccessIPv6 string
	// Volumes are the ids of the volumes attached to it that die with it.
	Volumes []string
	Created time.Time
}

// ListMark says from when changes are wanted; the zero value asks for a full
// list. It is the driver's own, from the cloud's clock.
type ListMark struct{ At time.Time }

// Listing is an answer to a list.
type Listing struct {
	// Instances are ours, by mark. Of a list of changes it is those that
	// changed, deleted ones included; of a full list all that exist. Clouds
	// forget the mark of what they delete: a deleted instance without one may
	// be anybody's, and is to be matched by its id alone.
	Instances []Instance
	// Full tells a full list from one of changes.
	Full bool
	// Others is how many instances in the project are not ours; known of a
	// full list only.
	Others int
	// Next asks for what changes after this list began.
	Next ListMark
}

// Facts is what a launch is made from, and what the cloud allows.
type Facts struct {
	Flavors []pool.Flavor
	Zones   []string
	// Down says of zones that are there, and of no use now, why. Only a cloud
	// that has looked at each of its hosts can tell.
	Down   map[string]string
	Limits pool.Limits
	// Used is what the whole project uses, ours included.
	Used pool.Resources
}

// Driver launches and deletes instances in one region of one cloud. All its
// methods are safe for concurrent use, return only *Error, and treat ctx as
// the bound of the call. A method that changes something makes at most one
// call that changes something, and returns Ambiguous if that call may have
// been done though it failed: a time-out or a broken connection after the
// request was sent, a 5xx. Any other error means that nothing was changed.
type Driver interface {
	// Create asks once for the instances of a batch. A nil error says that
	// the cloud accepted: between one and Count instances will be seen by
	// list, under the names and the mark of the spec. The order of a batch's
	// instances is the order of their names. Nova gives the bare name, as to
	// a batch of one, if the quota cut a larger batch down to one instance:
	// that one counts as the first.
	Create(ctx context.Context, spec BatchSpec) error
	// Instances lists what is ours. Since asks for changes only, as far as
	// the cloud can tell. A list may omit instances that exist: absence
	// proves nothing.
	Instances(ctx context.Context, since ListMark) (Listing, error)
	// Instance looks at one instance, or returns NotFound, which does prove
	// that it is gone.
	Instance(ctx context.Context, id string) (Instance, error)
	// Delete asks to delete an instance. NotFound says that it is gone; nil
	// only that the cloud will. It may be repeated.
	Delete(ctx context.Context, id string) error
	// Facts asks for flavors, zones, limits and use.
	Facts(ctx context.Context) (Facts, error)
	// FindImage returns the id of an active image by its name or id, or
	// NotFound.
	FindImage(ctx context.Context, nameOrID string) (string, error)
}

// Doubter is the ability to forget.
type Doubter interface {
	// Doubt says that flavors and zones may have changed: the next facts are
	// what the cloud says then, and not what it said before.
	Doubt()
}

// Console is the ability to show what an instance printed.
type Console interface {
	// Console returns the last lines of an instance's console.
	Console(ctx context.Context, id string, lines int) (string, error)
}

// KeyPairer is the ability to bring public keys into a cloud.
type KeyPairer interface {
	// EnsureKeyPair makes a key pair of a public key, unless the cloud has one
	// of that name, which comes from [KeyPairName]. It makes no call that it
	// has made before, unless a create was refused since.
	EnsureKeyPair(ctx context.Context, name, publicKey string) error
}

// Addresser is the ability to tell which address to connect to.
type Addresser interface {
	// InterfaceIP chooses among the addresses of an active instance; "" leaves
	// it to the caller. It makes no call that it has made before.
	InterfaceIP(ctx context.Context, i Instance) (string, error)
}

// Prover is the ability to look at an instance itself, where a cloud is nothing
// but the hosts that it lends and none tells when one of them breaks.
type Prover interface {
	// Prove returns the host keys of an active instance, each as "type
	// base64", sorted, once it was found well by a look that began at or after
	// a time. An instance that does not answer, or is not who it should be, is
	// Capacity: another one may do.
	Prove(ctx context.Context, id string, after time.Time) ([]string, error)
}

// Exposer is the ability to give instances floating IPs.
type Exposer interface {
	// NeedsFloatingIP tells whether an active instance with these addresses
	// can only be reached through a floating IP. It makes no call that it has
	// made before.
	NeedsFloatingIP(ctx context.Context, i Instance) (bool, error)
	// Expose attaches a floating IP with the mark to an instance. Again says
	// that it was asked for before and may exist already: one with the mark
	// is then looked for and taken.
	Expose(ctx context.Context, spec ExposeSpec) (pool.Address, error)
}

// ExposeSpec says which instance gets a floating IP, and whose it is.
type ExposeSpec struct {
	InstanceID string
	Mark       Mark
	Again      bool
}

// Cleaner is the ability to remove what the cloud made together with an
// instance, where the instance's delete did not. Such things carry no mark; by
// the id of an instance that was ours they are known as ours. The rules of
// [Driver] hold.
type Cleaner interface {
	// ForceDelete asks to delete an instance that several deletes had no
	// effect on. A cloud may refuse it to its users.
	ForceDelete(ctx context.Context, id string) error
	// Ports returns the ids of the ports that were made for an instance that
	// is gone, and are left.
	Ports(ctx context.Context, instanceID string) ([]string, error)
	// RemovePort deletes one of them, unless it is another instance's by now:
	// that is Conflict.
	RemovePort(ctx context.Context, instanceID, id string) error
	// RemoveVolume asks to delete a volume that was made with an instance that
	// is gone. NotFound says that it is gone, nil only that the cloud will; one
	// that is attached to anything is refused with Conflict.
	RemoveVolume(ctx context.Context, id string) error
}

// ResourceKind is a kind of thing that can leak.
type ResourceKind string

// The kinds of resources besides instances.
const (
	FloatingIP  ResourceKind = "floating-ip"
	Port        ResourceKind = "port"
	VolumeDisk  ResourceKind = "volume"
	StoredImage ResourceKind = "image"
	// TaskImage is an image that a task has made and that was not described yet.
	TaskImage    ResourceKind = "task-image"
	KeyPair      ResourceKind = "keypair"
	InstanceKind ResourceKind = "instance"
)

// Resource is something in a cloud with our mark.
type Resource struct {
	Kind ResourceKind
	ID   string
	Name string
	Mark Mark
	// InstanceID is what it is attached to, "" if it is attached to nothing.
	InstanceID string
	// Created is zero if the cloud does not say.
	Created time.Time
}

// Sweeper is the ability to find and remove what is ours besides instances.
type Sweeper interface {
	// Resources lists the resources of one kind that carry our mark. A kind
	// that the cloud does not have is an empty list.
	Resources(ctx context.Context, kind ResourceKind) ([]Resource, error)
	// Remove deletes one of them; NotFound says that it is gone.
	Remove(ctx context.Context, kind ResourceKind, id string) error
}

// ImageStatus is the state of an image in a cloud.
type ImageStatus string

// The statuses of an image.
const (
	// ImageQueued is an image without data.
	ImageQueued ImageStatus = "queued"
	// ImageSaving is an image that receives or processes its data.
	ImageSaving ImageStatus = "saving"
	// ImageStaged is an image whose data is, or is being, sent to where it can
	// be imported from.
	ImageStaged ImageStatus = "staged"
	// ImageImporting is an image that the cloud works on by itself.
	ImageImporting ImageStatus = "importing"
	ImageActive    ImageStatus = "active"
	// ImageBroken is an image that will never be active.
	ImageBroken ImageStatus = "broken"
)

// ImageSpec describes an image to make.
type ImageSpec struct {
	// ID is what the image's id should be, a UUID minted before the call, so
	// that it is on record before the image exists.
	ID   string
	Name string
	// Format is the disk format, e.g. "qcow2".
	Format     string
	Properties map[string]string
	Mark       Mark
}

// Image is an image as the cloud reports it.
type Image struct {
	ID, Name string
	Status   ImageStatus
	// Format is the disk format that it has by now: a cloud may convert what it
	// imports.
	Format string
	Bytes  int64
	// HashAlgo and Hash are the cloud's own hash of the data, e.g. "sha512";
	// empty if it has none.
	HashAlgo, Hash string
	// Stores are where it is, of a cloud with several places; CopyingTo where it
	// will be; FailedIn where the last import or copy failed, once it is over.
	Stores, CopyingTo, FailedIn []string
	Mark                        Mark
	Created                     time.Time
}

// ImageDriver stores images in one region of one cloud. The rules of [Driver]
// hold.
type ImageDriver interface {
	// ImageFormat is the disk format the cloud wants.
	ImageFormat() string
	// CreateImage makes an image without data and returns its id, which is
	// the spec's unless the cloud insisted on another. If an image of that id
	// exists already with our mark it is returned as if made.
	CreateImage(ctx context.Context, spec ImageSpec) (string, error)
	// SendImage sends exactly size bytes of data to a queued image. The data
	// is read once, from the start.
	SendImage(ctx context.Context, id string, data io.Reader, size int64) error
	// Image looks at one image, or returns NotFound.
	Image(ctx context.Context, id string) (Image, error)
	// DeleteImage deletes an image; NotFound says that it is gone. An image
	// without our mark is refused with Conflict.
	DeleteImage(ctx context.Context, id string) error
}
