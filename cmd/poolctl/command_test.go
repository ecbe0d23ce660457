package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"poold/pool"
	"poold/store"
)

// serve stands in for the owners of all records until the test ends: it writes
// what answer makes of every new command and request.
func serve(t *testing.T, records *store.Store, answer func(*pool.Snapshot) []pool.Write) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	view := records.View()
	// Subscribed before anything is read, so that no change can come before.
	changed, unsubscribe := view.Subscribe()
	ended := make(chan struct{})
	go func() { _ = view.Run(ctx) }() // ends with ctx
	go func() {
		defer close(ended)
		defer unsubscribe()
		for {
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
			for _, w := range answer(view.Snapshot()) {
				revision, err := records.Apply(ctx, nil, w)
				if err == nil {
					err = view.WaitFor(ctx, revision)
				}
				if err != nil && ctx.Err() == nil {
					t.Errorf("answer: %v", err)
				}
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

// obey answers commands by what they are about, but for those that the operator
// carries out himself.
func obey(s *pool.Snapshot) []pool.Write {
	var list []pool.Write
	for _, c := range s.Commands {
		if c.Done || strings.HasSuffix(string(c.Verb), "pause") {
			continue
		}
		done := *c
		done.Done = true
		switch target := string(c.Node) + c.Target; {
		case strings.HasPrefix(target, "none"):
			done.Error, done.NotFound = "there is no such thing", true
		case strings.HasPrefix(target, "busy") && c.Verb != pool.VerbForceDelete:
			done.Error = "it is in use"
		}
		list = append(list, pool.Write{By: pool.Operator, Commands: []pool.Change[pool.Command]{pool.Update(c, &done)}})
	}
	return list
}

func TestCommands(t *testing.T) {
	name, _, records := prefix(t)
	serve(t, records, obey)
	if err := seedUpload(t.Context(), records, "north", pool.UploadUploading); err != nil {
		t.Fatal(err)
	}
	if err := seedLeaks(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		line string
		code int
		out  string
		err  string
	}{
		{"delete a", 0, "a\n", ""},
		{"node delete a b", 0, "a\nb\n", ""},
		{"delete a busy none b", exitPartly, "a\nb\n", "node busy: refused: it is in use\nnode none: there is no such thing"},
		{"delete busy", exitRefused, "", "in use"},
		{"delete none", exitNotFound, "", "no such thing"},
		{"delete busy --force", 0, "busy\n", ""},
		{"node hold a --reason debugging --ttl 2h", 0, "a\n", ""},
		{"node unhold none", exitNotFound, "", "no such thing"},
		{"image build noble", 0, "", ""},
		{"image build none", exitNotFound, "", "no such thing"},
		{"image build busy", exitRefused, "", "in use"},
		{"image delete noble/1 noble/2 --reason panics", 0, "noble/1\nnoble/2\n", ""},
		{"image delete busy/1", exitRefused, "", "build busy/1: refused: it is in use"},
		{"upload delete noble/0001/north --reason panics", 0, "noble/0001/north\n", ""},
		{"upload retry noble/0001/north noble/0001/south", exitPartly, "noble/0001/north\n", "upload noble/0001/south: no such record"},
		{"upload pause noble/0001/north", 0, "noble/0001/north\n", ""},
		{"upload unpause noble/0001/north", 0, "noble/0001/north\n", ""},
		{"leak delete i1", exitUsage, "", "several leaks are called i1"},
		{"leak delete i1 f1 --provider north", 0, "instance/i1\nfloating-ip/f1\n", ""},
		{"leak delete instance/i2", 0, "instance/i2\n", ""},
		{"leak delete i9", exitNotFound, "", "leak i9"},
		{"leak agree north", exitRefused, "", "north is not frozen"},
		{"leak agree south", 0, "node/a\ninstance/i1\ninstance/i2\n", ""},
		{"leak agree west", exitNotFound, "", "provider west"},
	} {
		out, err := poolctl(t, append(strings.Fields(c.line), "--prefix", name)...)
		code, text := 0, ""
		if err != nil {
			code, text = exitCode(err), err.Error()
		}
		if code != c.code || out != c.out || !strings.Contains(text, c.err) {
			t.Errorf("poolctl %s: printed %q, exit code %d, error %q; want %q, %d, %q", c.line, out, code, text, c.out, c.code, c.err)
		}
	}
	s, err := records.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	verbs := map[pool.Verb]int{}
	for _, c := range s.Commands {
		verbs[c.Verb]++
		if c.By != who() || !c.At.Equal(noon) {
			t.Errorf("a command by %q at %v: %+v", c.By, c.At, c)
		}
		if c.Verb == pool.VerbHold && (c.Node != "a" || c.Reason != "debugging" || c.TTL != "2h0m0s") {
			t.Errorf("a hold: %+v", c)
		}
		if c.Verb == pool.VerbBuild && c.Target == "" {
			t.Errorf("a build: %+v", c)
		}
		if c.Verb == pool.VerbDeleteUpload && (c.Target != "noble/0001" || c.Provider != "north" || c.Reason != "panics") {
			t.Errorf("an upload: %+v", c)
		}
	}
	want := map[pool.Verb]int{
		pool.VerbRemoveLeaks: 3, pool.VerbDelete: 9, pool.VerbForceDelete: 1, pool.VerbHold: 1, pool.VerbUnhold: 1, pool.VerbBuild: 3,
		pool.VerbDeleteBuild: 3, pool.VerbDeleteUpload: 1, pool.VerbRetryUpload: 1, pool.VerbWithdrawUpload: 1, pool.VerbRestoreUpload: 1,
	}
	for verb, n := range want {
		if verbs[verb] != n {
			t.Errorf("%d commands %s, want %d", verbs[verb], verb, n)
		}
	}
}

// allocate answers requests: the label "never" fails, "late" is not answered,
// all others are fulfilled.
func allocate(s *pool.Snapshot) []pool.Write {
	answered := map[pool.RequestRef]bool{}
	for _, a := range s.Allocations {
		answered[a.Ref()] = true
	}
	var list []pool.Write
	for _, r := range s.Requests {
		a := &pool.Allocation{Client: r.Client, ID: r.ID, RequestRevision: r.CreateRevision, State: pool.AllocationFulfilled}
		for i, label := range r.Labels {
			a.Nodes = append(a.Nodes, pool.AllocatedNode{
				ID: pool.NodeID("n" + string(rune('1'+i))), Label: label, Provider: "north", State: "in-use", InterfaceIP: "192.0.2.7",
				HostKeys: []string{"ssh-ed25519 AAAA"}, Connection: pool.Connection{Port: 22, Username: "zuul"},
			})
		}
		switch r.Labels[0] {
		case "late":
			continue
		case "never":
			a.State, a.Error, a.Nodes = pool.AllocationFailed, "no provider has the label", nil
		}
		if !answered[r.Ref()] {
			list = append(list, pool.Write{By: pool.Allocator, Allocations: []pool.Change[pool.Allocation]{pool.Create(a)}})
		}
	}
	return list
}

func TestRequestCreate(t *testing.T) {
	name, _, records := prefix(t)
	serve(t, records, allocate)
	ask := func(line string) (string, error) {
		t.Helper()
		return poolctl(t, append(append([]string{"request"}, strings.Fields(line)...), "--prefix", name)...)
	}
	const table = `REQUEST    NODE  LABEL  PROVIDER  CONNECT
poolctl/1  n1    noble  north     zuul@192.0.2.7 port 22
poolctl/1  n2    large  north     zuul@192.0.2.7 port 22
`
	if out, err := ask("create --id 1 --label noble --label large --wait"); err != nil || out != table {
		t.Errorf("printed %q, %v, want %q", out, err, table)
	}
	if out, err := ask("create --id 1 --label noble"); exitCode(err) != exitRefused {
		t.Errorf("an id that is taken: %q, %v, want exit code %d", out, err, exitRefused)
	}
	out, err := ask("create --client ci --id 2 --label noble --wait -o json")
	var answer pool.Allocation
	if jerr := json.Unmarshal([]byte(out), &answer); err != nil || jerr != nil || len(answer.Nodes) != 1 || answer.Nodes[0].InterfaceIP != "192.0.2.7" {
		t.Errorf("printed %q, %v, %v", out, err, jerr)
	}
	if out, err := ask("create --id 3 --label never --wait"); exitCode(err) != exitFailed || !strings.Contains(err.Error(), "no provider has the label") {
		t.Errorf("a request that fails: %q, %v", out, err)
	}
	if out, err := ask("create --id 4 --label late --priority 50 --tenant t --provider north --ttl 1h"); err != nil || out != "poolctl/4\n" {
		t.Errorf("printed %q, %v", out, err)
	}
	if out, err := ask("create --id 5 --label late -o json"); err != nil || !json.Valid([]byte(out)) {
		t.Errorf("printed %q, %v", out, err)
	}
	s, err := records.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range s.Requests {
		if r.ID == "4" && (r.EffectivePriority() != 50 || r.Tenant != "t" || r.Provider != "north" || r.MaxLifetime != "1h0m0s") {
			t.Errorf("asked for %+v", r)
		}
	}
	if _, err := ask("delete poolctl/4"); err != nil {
		t.Error(err)
	}
	if _, err := ask("show poolctl/4"); exitCode(err) != exitNotFound {
		t.Errorf("deleted: %v, want exit code %d", err, exitNotFound)
	}
}

// A request that is not answered in time is withdrawn: nobody would release
// the nodes that it is given later.
func TestTimeoutWithdraws(t *testing.T) {
	name, _, records := prefix(t)
	out, err := poolctl(t, "request", "create", "--id", "1", "--label", "late", "--wait", "--timeout", "50ms", "--prefix", name)
	if out != "" || exitCode(err) != exitFailed || !strings.Contains(err.Error(), "no answer within 50ms") {
		t.Errorf("printed %q, %v", out, err)
	}
	if s, err := records.Read(t.Context()); err != nil || len(s.Requests) != 0 {
		t.Errorf("%d requests are left, %v", len(s.Requests), err)
	}
}
