package operate

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"poold/pool"
	"poold/store"
	"poold/store/kv/memkv"
)

// operator is one on records in memory, with a build and a provider.
func operator(t *testing.T) (*Operator, *store.Store) {
	t.Helper()
	records := store.New(memkv.New(time.Now()), "", zap.NewNop())
	b := &pool.Build{Image: "noble", ID: "1", State: pool.BuildBuilding}
	if _, err := records.Apply(t.Context(), nil, pool.Write{By: pool.Builder, Builds: []pool.Change[pool.Build]{pool.Create(b)}}); err != nil {
		t.Fatal(err)
	}
	q := &pool.Quota{Provider: "north"}
	if _, err := records.Apply(t.Context(), nil, pool.Write{By: pool.Launcher, Quotas: []pool.Change[pool.Quota]{pool.Create(q)}}); err != nil {
		t.Fatal(err)
	}
	return &Operator{Records: records, Read: records.Read, Now: time.Now}, records
}

func read(t *testing.T, records *store.Store) *pool.Snapshot {
	t.Helper()
	s, err := records.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A command that nobody carries out is not waited for for ever, and does not
// happen later when nobody expects it any more.
func TestNobodyObeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, records := operator(t)
		began := time.Now()
		_, err := o.Do(t.Context(), pool.Command{Verb: pool.VerbBuild, Target: "noble"})
		if err == nil || !strings.Contains(err.Error(), "nobody carried the command out") || errors.Is(err, pool.ErrRefused) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took != patience {
			t.Errorf("waited %v, want %v", took, patience)
		}
		if all := read(t, records).Commands; len(all) > 0 {
			t.Errorf("the command still stands: %+v", all[0])
		}
	})
}

// What the owner of a record says of a command is what the operator is told.
func TestResults(t *testing.T) {
	for want, c := range map[error]pool.Command{
		nil:              {},
		pool.ErrRefused:  {Error: "it is in use"},
		pool.ErrNotFound: {Error: "no such node", NotFound: true},
	} {
		if err := result(&c); !errors.Is(err, want) || err != nil && !strings.Contains(err.Error(), c.Error) {
			t.Errorf("%+v is %v, want %v", c, err, want)
		}
	}
}

// A pause holds and ends without anybody who runs, and its commands tell who did
// it and why.
func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, records := operator(t)
		do := func(verb pool.Verb, target string, want error) {
			t.Helper()
			_, err := o.Do(t.Context(), pool.Command{Verb: verb, Target: target, By: "ann", Reason: "fire"})
			if !errors.Is(err, want) {
				t.Errorf("%s %s: %v, want %v", verb, target, err, want)
			}
		}
		do(pool.VerbPauseImage, "noble", nil)
		do(pool.VerbPauseProvider, "north", nil)
		first := read(t, records)
		if p := first.Pause("noble"); p == nil || p.By != "ann" || p.Reason != "fire" || p.At.IsZero() {
			t.Errorf("the image: %+v", p)
		}
		if p := first.ProviderPause("north"); p == nil || p.Text() != "paused by ann: fire" {
			t.Errorf("the provider: %+v", p)
		}
		do(pool.VerbPauseImage, "noble", nil) // it stays as it is
		if again := read(t, records); again.Pause("noble").Revision != first.Pause("noble").Revision {
			t.Error("the pause was written again")
		}
		do(pool.VerbUnpauseImage, "noble", nil)
		do(pool.VerbUnpauseProvider, "north", nil)
		do(pool.VerbUnpauseProvider, "north", nil)
		do(pool.VerbPauseProvider, "noble", pool.ErrNotFound)
		do(pool.VerbUnpauseImage, "north", pool.ErrNotFound)
		last := read(t, records)
		if len(last.Pauses) > 0 {
			t.Errorf("paused is %+v", last.Pauses[0])
		}
		for _, c := range last.Commands {
			if !c.Done || c.By != "ann" || c.Reason != "fire" {
				t.Errorf("a command: %+v", c)
			}
		}
		if n := len(last.Commands); n != 6 {
			t.Errorf("%d commands tell of it, want 6", n)
		}
	})
}

// Who pauses what somebody else paused just now is told so, and nothing is left
// to be done.
func TestPausedAtTheSameMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, records := operator(t)
		old := read(t, records)
		command := pool.Command{Verb: pool.VerbPauseImage, Target: "noble", By: "ann"}
		if _, err := o.Do(t.Context(), command); err != nil {
			t.Fatal(err)
		}
		o.Read = func(context.Context) (*pool.Snapshot, error) { return old, nil }
		command.By = "bob"
		if _, err := o.Do(t.Context(), command); !errors.Is(err, pool.ErrRefused) {
			t.Errorf("bob is told %v", err)
		}
		s := read(t, records)
		if p := s.Pause("noble"); p == nil || p.By != "ann" {
			t.Errorf("it is %+v", p)
		}
		for _, c := range s.Commands {
			if !c.Done || (c.Error == "") != (c.By == "ann") {
				t.Errorf("a command: %+v", c)
			}
		}
	})
}

// To pause a build is to withdraw it, which its owner does.
func TestPauseOfABuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, records := operator(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for _, verb := range []pool.Verb{pool.VerbPauseImage, pool.VerbUnpauseImage} {
			go func() { _, _ = o.Do(ctx, pool.Command{Verb: verb, Target: "noble/1", By: "ann"}) }() // ends with ctx
		}
		synctest.Wait()
		seen := map[pool.Verb]bool{}
		for _, c := range read(t, records).Commands {
			seen[c.Verb] = !c.Done
		}
		if len(seen) != 2 || !seen[pool.VerbWithdrawBuild] || !seen[pool.VerbRestoreBuild] {
			t.Errorf("open are %v", seen)
		}
		cancel()
		synctest.Wait()
	})
}

// A freeze and a drain are states like a pause, whose commands tell who did it and
// why; what a peer had is forgotten when it does not run.
func TestFreezeAndDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, records := operator(t)
		for _, peer := range []string{"one", "two"} {
			if err := records.PutOffer(t.Context(), &pool.Offer{Peer: peer}); err != nil {
				t.Fatal(err)
			}
		}
		o.Read = func(ctx context.Context) (*pool.Snapshot, error) {
			s, err := records.Read(ctx)
			if err == nil {
				s.Members = []*pool.Member{{Name: "one"}}
			}
			return s, err
		}
		for _, step := range []struct {
			verb   pool.Verb
			target string
			want   error
			frozen string
			drains int
			offers int
		}{
			{pool.VerbUnfreeze, "", pool.ErrNotFound, "", 0, 2},
			{pool.VerbFreeze, "", nil, "launching is frozen by ann: fire", 0, 2},
			{pool.VerbFreeze, "", pool.ErrRefused, "launching is frozen by ann: fire", 0, 2},
			{pool.VerbUnfreeze, "", nil, "", 0, 2},
			{pool.VerbDrainPeer, "none", pool.ErrNotFound, "", 0, 2},
			{pool.VerbDrainPeer, "one", nil, "", 1, 2},
			{pool.VerbDrainPeer, "one", nil, "", 1, 2},
			{pool.VerbUndrainPeer, "one", nil, "", 0, 2},
			{pool.VerbForgetPeer, "one", pool.ErrConflict, "", 0, 2},
			{pool.VerbForgetPeer, "three", pool.ErrNotFound, "", 0, 2},
			{pool.VerbForgetPeer, "two", nil, "", 0, 1},
			{pool.VerbEraseProvider, "north", pool.ErrRefused, "", 0, 1},
		} {
			_, err := o.Do(t.Context(), pool.Command{Verb: step.verb, Target: step.target, By: "ann", Reason: "fire"})
			s := read(t, records)
			frozen := ""
			if s.Freeze != nil {
				frozen = s.Freeze.Text()
			}
			if !errors.Is(err, step.want) || frozen != step.frozen || len(s.Drains) != step.drains || len(s.Offers) != step.offers {
				t.Errorf("%s %s: %v, want %v; %q, %d drains, %d offers", step.verb, step.target, err, step.want, frozen, len(s.Drains), len(s.Offers))
			}
			for _, d := range s.Drains {
				if d.Peer != "one" || d.By != "ann" || d.Reason != "fire" || d.At.IsZero() {
					t.Errorf("a drain: %+v", d)
				}
			}
		}
		all := read(t, records).Commands
		for _, c := range all {
			if !c.Done || c.By != "ann" || c.Reason != "fire" || c.Error != "" {
				t.Errorf("a command: %+v", c)
			}
		}
		if len(all) != 6 {
			t.Errorf("%d commands tell of it, want 6", len(all))
		}
	})
}

// Of what is done in several writes a command tells how it ended.
func TestRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, records := operator(t)
		half := errors.New("half of it")
		for _, end := range []error{nil, half} {
			err := o.Record(t.Context(), pool.Command{Verb: pool.VerbEraseProvider, Target: "north", By: "ann"}, func() error {
				if !slices.ContainsFunc(read(t, records).Commands, func(c *pool.Command) bool { return !c.Done }) {
					t.Error("nothing tells of it while it is done")
				}
				return end
			})
			if !errors.Is(err, end) {
				t.Errorf("got %v, want %v", err, end)
			}
		}
		said := map[string]bool{}
		for _, c := range read(t, records).Commands {
			said[c.Error] = c.Done && c.By == "ann" && c.Target == "north"
		}
		if len(said) != 2 || !said[""] || !said["half of it"] {
			t.Errorf("the commands say %v", said)
		}
	})
}
