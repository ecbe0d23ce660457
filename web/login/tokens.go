package login

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"strings"
)

const (
	// leastToken is how long a token must be: one that is drawn by chance cannot
	// be guessed then.
	leastToken = 20
	// mostToken is more than anybody wants.
	mostToken = 512
	// mostHolders bounds what is compared with each token.
	mostHolders = 1000
)

// Holder is who has a token. The token itself is not kept: what is tells neither
// what it is nor how to make its sessions to who only reads the one or the other.
type Holder struct {
	Name     string
	ReadOnly bool

	digest, key [sha256.Size]byte
}

func holder(name, token string) Holder {
	return Holder{Name: name, digest: sha256.Sum256([]byte("token\x00" + token)), key: sha256.Sum256([]byte("session\x00" + token))}
}

// Parse reads a file of tokens: NAME TOKEN, or NAME TOKEN read-only, a line; empty
// lines and such that begin with # say nothing. Whatever leaves open who has a
// token is refused. Errors name the line, and nothing that is in it.
func Parse(text []byte) ([]Holder, error) {
	var all []Holder
	for i, line := range bytes.Split(text, []byte("\n")) {
		words := strings.Fields(string(line))
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		h, problem := parseLine(words)
		for j := range all {
			switch {
			case problem != "":
			case all[j].Name == h.Name:
				problem = "the name is there twice"
			case all[j].digest == h.digest:
				problem = "two have the same token"
			}
		}
		if problem != "" {
			return nil, fmt.Errorf("line %d: %s", i+1, problem)
		}
		all = append(all, h)
	}
	if len(all) > mostHolders {
		return nil, fmt.Errorf("more than %d tokens", mostHolders)
	}
	return all, nil
}

func parseLine(words []string) (h Holder, problem string) {
	const named, limited = 2, 3
	switch {
	case len(words) < named || len(words) > limited || len(words) == limited && words[2] != "read-only":
		return h, "expected NAME TOKEN, or NAME TOKEN read-only"
	case !isName(words[0]):
		return h, "this is no name: it is longer than 64 bytes, or not all of it can be printed"
	case len(words[1]) < leastToken || len(words[1]) > mostToken:
		return h, fmt.Sprintf("a token has from %d to %d characters", leastToken, mostToken)
	}
	h = holder(words[0], words[1])
	h.ReadOnly = len(words) == limited
	return h, ""
}

// find finds who has a token. It takes as long for one that is nearly right as
// for any other: digests are compared, each with all, and in constant time.
func find(all []Holder, token string) (found Holder, ok bool) {
	digest := holder("", token).digest
	for i := range all {
		if subtle.ConstantTimeCompare(all[i].digest[:], digest[:]) == 1 {
			found, ok = all[i], true
		}
	}
	return found, ok
}
