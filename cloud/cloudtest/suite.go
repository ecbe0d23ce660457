package cloudtest

import "testing"

// Run tries a driver against its contract. Open returns a new driver over the
// cloud for each test, with marks of an installation that has nothing in it;
// what the tests make is removed in the end.
func Run(t *testing.T, open func(t *testing.T) Env) {
	t.Helper()
	for _, c := range []struct {
		name string
		// able tells whether the environment has what the test needs.
		able func(s *subject) bool
		test func(s *subject)
	}{
		{"a batch has the names and the mark of its spec", always, batchIsAsAsked},
		{"a lone instance has no suffix", always, loneInstance},
		{"a delete may be repeated and ends in not-found", always, deleteTwice},
		{"what never existed is not-found", always, unknownIsNotFound},
		{"a list of changes shows what is new and what is gone", always, changes},
		{"instances of others are counted, not shown", hasOther, othersAreHidden},
		{"what cannot be made is invalid", always, invalidSpecs},
		{"what an instance cannot be made with is refused by kind", always, refusedOptions},
		{"a key pair is made once", hasKeyPairs, ownKeyPair},
		{"facts are what a launch needs", always, facts},
		{"what is lent and not there is refused", isLent, lentOut},
		{"what is lent can be proven", hasProver, prove},
		{"an image is found by name and by id", hasImageName, findImage},
		{"nothing is made under a context that has ended", always, endedContext},
		{"a console can be read", hasConsole, console},
		{"a lost reply is ambiguous", hasFaults, lostReply},
		{"each refusal has its kind", hasFaults, refusals},
		{"every call passes the gate once, without ids", hasGate, gateSeesAll},
		{"what the gate refuses is not sent", hasGate, gateRefuses},
		{"a floating IP is made once", hasFloats, expose},
		{"floating IPs of others are not touched", hasFloats, foreignFloatingIP},
		{"an image is created, sent, verified and deleted", hasImages, imageLife},
		{"images of others are not touched", hasImages, foreignImage},
		{"an image gets its data once, and all of it", hasImages, imageData},
		{"the disk of a server is taken out in parts", hasDisks, exportServer},
		{"what cannot be taken out is refused by kind", hasExport, refusedExports},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &subject{Env: open(t), t: t}
			if !c.able(s) {
				t.Skip("this environment lacks what it needs")
			}
			t.Cleanup(s.clean)
			c.test(s)
		})
	}
	RunOptions(t, open)
}

func always(*subject) bool         { return true }
func hasOther(s *subject) bool     { return s.Other != nil }
func isLent(s *subject) bool       { return s.Lent }
func hasImageName(s *subject) bool { return s.ImageName != "" }
func hasFaults(s *subject) bool    { return s.Inject != nil }
func hasGate(s *subject) bool      { return s.Gate != nil }
