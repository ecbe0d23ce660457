package cloud

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/url"
	"strconv"
	"strings"
)

// Mark is what everything of ours in a cloud carries, as metadata or in its
// description. It says whose a resource is without asking etcd.
type Mark struct {
	// Installation is the id of the installation; a resource with another, or
	// none, is not ours.
	Installation string
	Provider     string
	// Batch is the batched create that an instance belongs to.
	Batch string
	// Node is set on what belongs to one node: a floating IP, a volume.
	Node string
	// Upload is set on images, as "IMAGE/BUILD".
	Upload string
	// Revision is the etcd revision the resource was made at: an etcd that is
	// older lost its memory.
	Revision int64
}

// The keys of a mark among the metadata of a server and the properties of an
// image. They are for ever: a resource is ours by them.
const (
	KeyInstallation = "poold_installation"
	KeyBatch        = "poold_batch"
	KeyNode         = "poold_node"
	KeyProvider     = "poold_provider"
	KeyUpload       = "poold_upload"
	KeyRevision     = "poold_revision"
)

// lineStart begins the description of what can only be described.
const lineStart = "poold "

// In returns properties with the mark among them, which they cannot replace.
func (m Mark) In(properties map[string]string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, properties)
	for key, value := range map[string]string{
		KeyInstallation: m.Installation, KeyBatch: m.Batch, KeyNode: m.Node,
		KeyProvider: m.Provider, KeyUpload: m.Upload,
	} {
		delete(all, key)
		if value != "" {
			all[key] = value
		}
	}
	all[KeyRevision] = strconv.FormatInt(m.Revision, 10)
	return all
}

// MarkOf reads the mark among properties; what carries none gets the zero one.
func MarkOf(properties map[string]string) Mark {
	// A revision that is not a number is of no use, and no reason to disown.
	revision, _ := strconv.ParseInt(properties[KeyRevision], 10, 64)
	return Mark{
		Installation: properties[KeyInstallation], Batch: properties[KeyBatch], Node: properties[KeyNode],
		Provider: properties[KeyProvider], Upload: properties[KeyUpload], Revision: revision,
	}
}

// Line writes the mark of something of a node as the one line that a network
// service keeps for us: "poold installation=I node=N provider=P revision=R".
func (m Mark) Line() string {
	return lineStart + "installation=" + url.QueryEscape(m.Installation) + " node=" + url.QueryEscape(m.Node) +
		" provider=" + url.QueryEscape(m.Provider) + " revision=" + strconv.FormatInt(m.Revision, 10)
}

// ImageName writes the mark of an image as a name, for one that can have
// nothing else yet; id tells two attempts at one upload apart.
func (m Mark) ImageName(id string) string {
	return lineStart + "installation=" + url.QueryEscape(m.Installation) + " provider=" + url.QueryEscape(m.Provider) +
		" upload=" + url.QueryEscape(m.Upload) + " id=" + url.QueryEscape(id)
}

// keyPairStart begins the names of our key pairs, which carry nothing else;
// keyPairSum is how many bytes of the key's hash end them.
const (
	keyPairStart = "poold-"
	keyPairSum   = 8
)

// KeyPairName is what an installation calls the key pair of a public key. The
// name follows from the key, so that one name never means two keys.
func KeyPairName(installation, publicKey string) string {
	words := strings.Fields(publicKey)
	// The comment is not part of the key.
	sum := sha256.Sum256([]byte(strings.Join(words[:min(2, len(words))], " ")))
	return keyPairStart + installation + "-" + hex.EncodeToString(sum[:keyPairSum])
}

// KeyPairMark reads whose a key pair is from its name; of any other name it is
// the zero mark.
func KeyPairMark(name string) Mark {
	rest, ok := strings.CutPrefix(name, keyPairStart)
	installation, sum, found := strings.Cut(rest, "-")
	if key, err := hex.DecodeString(sum); !ok || !found || err != nil || len(key) != keyPairSum {
		return Mark{}
	}
	return Mark{Installation: installation}
}

// MarkIn reads a mark from such a line; of any other line it is the zero one.
func MarkIn(line string) Mark {
	rest, ok := strings.CutPrefix(line, lineStart)
	if !ok {
		return Mark{}
	}
	properties := map[string]string{}
	for field := range strings.FieldsSeq(rest) {
		key, escaped, _ := strings.Cut(field, "=")
		value, err := url.QueryUnescape(escaped)
		if err != nil {
			return Mark{}
		}
		properties["poold_"+key] = value
	}
	return MarkOf(properties)
}
