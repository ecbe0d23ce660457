package store

import (
	"net/url"
	"strings"

	"poold/pool"
)

// DefaultPrefix is where the records are unless the configuration says
// otherwise.
const DefaultPrefix = "/poold/v1"

// family is what kind of record a key belongs to.
type family int

const (
	familyNone family = iota
	familyRequest
	familyAllocation
	familyNode
	familyBuild
	familyUpload
	familyCommand
	familyQuota
	familyHealth
	familyMember
	familyPenalty
	familyFreeze
	familyPause
	familyDrain
	familyOffer
	familyOther
)

// place is a key taken apart: which family it is of, and the names in it, in
// the order of the key.
type place struct {
	family  family
	a, b, c string
}

// keys makes keys and takes them apart. Names that poold writes are escaped,
// so that any name makes a key that can be taken apart again; the names in the
// key of a request are the client's own and stand as they are: the client ends
// at the first slash, the id is all of the rest.
type keys struct{ prefix string }

func newKeys(prefix string) keys {
	return keys{prefix: strings.TrimRight(prefix, "/") + "/"}
}

func (k keys) join(parts ...string) string {
	for i := 1; i < len(parts); i += 2 {
		parts[i] = url.PathEscape(parts[i])
	}
	return k.prefix + strings.Join(parts, "/")
}

func (k keys) installation() string { return k.prefix + "installation" }

func (k keys) clock() string { return k.prefix + "clock" }

func (k keys) request(client, id string) string { return k.prefix + "requests/" + client + "/" + id }

func (k keys) allocation(client, id string) string {
	return k.prefix + "allocations/" + client + "/" + id
}

// nodes is what the keys of a provider's nodes begin with.
func (k keys) nodes(provider string) string { return k.join("nodes", provider) + "/" }

func (k keys) node(provider string, id pool.NodeID) string {
	return k.nodes(provider) + url.PathEscape(string(id))
}

func (k keys) build(image, build string) string { return k.join("images", image, "builds", build) }

func (k keys) pause(image string) string { return k.join("images", image, "pause") }

func (k keys) providerPause(provider string) string { return k.join("pauses/provider", provider) }

func (k keys) upload(image, build, provider string) string {
	return k.join("images", image, "builds", build, "uploads", provider)
}

func (k keys) command(id string) string { return k.join("commands", id) }

func (k keys) quota(provider string) string { return k.join("quota", provider) }

func (k keys) health(provider string) string { return k.join("health", provider) }
func (k keys) penalty(group string) string   { return k.join("penalty", group) }

func (k keys) freeze() string { return k.prefix + "freeze" }

func (k keys) drain(peer string) string { return k.join("drains", peer) }

func (k keys) offer(peer string) string { return k.join("offers", peer) }

func (k keys) member(name string) string { return k.join("members", name) }

// owner is the key of who owns something, such as "allocator" or
// "provider/NAME".
func (k keys) owner(name string) string {
	role, of, found := strings.Cut(name, "/")
	if !found {
		return k.join("owners", role)
	}
	return k.join("owners", role) + "/" + url.PathEscape(of)
}

// parse takes a key apart. Keys under the prefix that are no record's are
// familyOther; those that should be a record's and cannot be, familyNone.
func (k keys) parse(key string) place {
	rest, ok := strings.CutPrefix(key, k.prefix)
	if !ok {
		return place{}
	}
	if key == k.freeze() {
		return place{family: familyFreeze}
	}
	first, rest, _ := strings.Cut(rest, "/")
	if f := named(first); f != familyNone {
		return parseNames(f, rest, "")
	}
	switch first {
	case "requests":
		return parsePair(familyRequest, rest)
	case "allocations":
		return parsePair(familyAllocation, rest)
	case "nodes":
		return parseNames(familyNode, rest, "", "")
	case "pauses":
		if p := parseNames(familyPause, rest, "provider", ""); p.family != familyNone {
			p.b = "provider" // and not an image
			return p
		}
	case "images":
		if p := parseNames(familyUpload, rest, "", "builds", "", "uploads", ""); p.family != familyNone {
			return p
		}
		if p := parseNames(familyPause, rest, "", "pause"); p.family != familyNone {
			return p
		}
		return parseNames(familyBuild, rest, "", "builds", "")
	}
	return place{family: familyOther}
}

// named is the family whose keys are one name below a folder, familyNone for
// any other folder.
func named(folder string) family {
	switch folder {
	case "commands":
		return familyCommand
	case "quota":
		return familyQuota
	case "health":
		return familyHealth
	case "members":
		return familyMember
	case "penalty":
		return familyPenalty
	case "drains":
		return familyDrain
	case "offers":
		return familyOffer
	}
	return familyNone
}

func parsePair(f family, rest string) place {
	client, id, found := strings.Cut(rest, "/")
	if !found {
		return place{}
	}
	return place{family: f, a: client, b: id}
}

// parseNames matches parts against a pattern in which "" stands for a name.
func parseNames(f family, rest string, pattern ...string) place {
	parts := strings.Split(rest, "/")
	if len(parts) != len(pattern) {
		return place{}
	}
	var names []string
	for i, want := range pattern {
		part := parts[i]
		if want != "" {
			if part != want {
				return place{}
			}
			continue
		}
		name, err := url.PathUnescape(part)
		if err != nil || name == "" || url.PathEscape(name) != part {
			return place{}
		}
		names = append(names, name)
	}
	p := place{family: f, a: names[0]}
	if len(names) > 1 {
		p.b = names[1]
	}
	if len(names) > 2 {
		p.c = names[2]
	}
	return p
}
