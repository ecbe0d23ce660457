package cloud

import (
	"testing"

	"pgregory.net/rapid"
)

// A mark that cannot be read back is a leak that nobody can prove ours, and
// properties that could replace it would let anybody pass for us.
func TestMarksSurvive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Mark{
			Installation: rapid.StringN(1, -1, -1).Draw(t, "installation"), Provider: rapid.String().Draw(t, "provider"),
			Batch: rapid.String().Draw(t, "batch"), Node: rapid.String().Draw(t, "node"),
			Upload: rapid.String().Draw(t, "upload"), Revision: rapid.Int64Min(0).Draw(t, "revision"),
		}
		if got := MarkOf(m.In(map[string]string{KeyInstallation: "other", KeyNode: "other", "mine": "x"})); got != m {
			t.Fatalf("among properties: got %+v, want %+v", got, m)
		}
		m.Batch, m.Upload = "", "" // a line is for what belongs to one node
		if got := MarkIn(m.Line()); got != m {
			t.Fatalf("in a line: got %+v, want %+v", got, m)
		}
	})
}

// The comment of a public key is not the key, and a name is only read back as
// ours if it is one that we could have given.
func TestKeyPairNames(t *testing.T) {
	name := KeyPairName("0abc", "ssh-ed25519 AAAA me@here")
	if other := KeyPairName("0abc", " ssh-ed25519  AAAA"); other != name {
		t.Errorf("the comment makes %s of %s", other, name)
	}
	if other := KeyPairName("0abc", "ssh-ed25519 AAAB me@here"); other == name {
		t.Error("two keys have one name")
	}
	if got := KeyPairMark(name); got != (Mark{Installation: "0abc"}) {
		t.Errorf("%s: got %+v", name, got)
	}
	for _, foreign := range []string{"", "lab-key", "poold-", "poold-0abc", "poold-0abc-", "poold-0abc-web", "x" + name, name + "00"} {
		if got := KeyPairMark(foreign); got != (Mark{}) {
			t.Errorf("%q: got %+v", foreign, got)
		}
	}
}

func TestWhatIsNotOursHasNoMark(t *testing.T) {
	for _, line := range []string{"", "a floating IP", "poold", "pool installation=x", "poold installation=%zz"} {
		if m := MarkIn(line); m != (Mark{}) {
			t.Errorf("%q: got %+v", line, m)
		}
	}
}
