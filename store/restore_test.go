package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"poold/pool"
	"poold/store/kv"
	"poold/store/kv/memkv"
)

const ourID = `{"v":1,"id":"ours"}`

// kept is a store whose keys below the prefix have these values.
func kept(t *testing.T, prefix string, values map[string]string) *Store {
	t.Helper()
	db := memkv.New(time.Now())
	for key, value := range values {
		if _, _, err := db.Commit(t.Context(), kv.Txn{Then: []kv.Op{kv.Put(prefix+"/"+key, []byte(value))}}); err != nil {
			t.Fatal(err)
		}
	}
	return New(db, prefix, zap.NewNop())
}

// values is what a store has below its prefix.
func values(t *testing.T, s *Store) map[string]string {
	t.Helper()
	items, _, err := s.kv.List(t.Context(), s.keys.prefix)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, it := range items {
		found[strings.TrimPrefix(it.Key, s.keys.prefix)] = string(it.Value)
	}
	return found
}

// exported is the document of a store, read again from its text.
func exported(t *testing.T, s *Store) *State {
	t.Helper()
	state, err := s.Export(t.Context(), time.Unix(1e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	state = &State{}
	if err := json.Unmarshal(text, state); err != nil {
		t.Fatal(err)
	}
	return state
}

func build(id string, state pool.BuildState, more string) string {
	return fmt.Sprintf(`{"v":1,"image":"i","id":"%s","state":"%s"%s}`, id, state, more)
}

func upload(id string, state pool.UploadState, more string) string {
	return fmt.Sprintf(`{"v":1,"image":"i","build":"%s","provider":"p","state":"%s"%s}`, id, state, more)
}

// A document has every key and its value as it is stored, whatever that is.
func TestExport(t *testing.T) {
	all := map[string]string{
		"installation": ourID, "nodes/p/n": `{"v":9,"new":[1.50,"<&>"]}`, "requests/c/a/b": `no JSON`, "unheard/of": `{}`,
		"freeze": `{"v":1}`, "images/i/builds/b": `{"v":1}`, "images//x": `1`,
	}
	s := kept(t, "/p", all)
	state := exported(t, s)
	got := map[string]string{}
	for kind, records := range state.Records {
		for i, r := range records {
			got[r.Key] = string(r.item(s.keys).Value)
			if i > 0 && r.Key <= records[i-1].Key {
				t.Errorf("of %s, %s comes after %s", kind, r.Key, records[i-1].Key)
			}
		}
	}
	// encoding/json writes these as escapes, which are the same in JSON.
	got["nodes/p/n"] = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(got["nodes/p/n"])
	if diff := cmp.Diff(all, got); diff != "" {
		t.Error(diff)
	}
	_, revision, err := s.kv.List(t.Context(), s.keys.prefix)
	if err != nil || state.Revision != revision || state.Prefix != "/p" {
		t.Errorf("revision %d of %s, want %d of /p (%v)", state.Revision, state.Prefix, revision, err)
	}
	if n := len(state.Records["nodes"]); n != 1 {
		t.Errorf("%d nodes", n)
	}
}

// What is in service, or must not come back into it, is imported, below any
// prefix, with fields that nobody knows; what others own or find out is not.
func TestRestore(t *testing.T) {
	gone := `,"withdrawn":"by ann"`
	want := map[string]string{
		"installation":          ourID,
		"freeze":                `{"v":1,"by":"ann","at":"2026-03-14T12:00:00Z"}`,
		"images/i/pause":        `{"v":1,"image":"i","by":"ann","at":"2026-03-14T12:00:00Z"}`,
		"drains/one":            `{"v":1,"peer":"one","by":"ann","at":"2026-03-14T12:00:00Z"}`,
		"images/i/builds/ready": build("ready", pool.BuildReady, `,"unknown":7`), "images/i/builds/bad": build("bad", pool.BuildDeleted, gone),
		"images/i/builds/ready/uploads/p": upload("ready", pool.UploadReady, ""), "images/i/builds/bad/uploads/p": upload("bad", pool.UploadDeleted, gone),
		"images/i/builds/trial": build("trial", pool.BuildReady, ""), "images/i/builds/trial/uploads/p": upload("trial", pool.UploadTrial, ""),
		"pauses/provider/p": `{"v":1,"provider":"p","by":"ann","at":"2026-03-14T12:00:00Z"}`,
	}
	left := map[string]string{
		"clock": `{"v":1}`, "owners/allocator": `one`, "nodes/p/n": `{"v":1,"id":"n","provider":"p"}`, "requests/c/1": `{"v":1}`,
		"allocations/c/1": `{"v":1}`, "members/one": `{"v":1,"name":"one"}`, "offers/one": `{"v":9}`, "commands/x": `{"v":1}`,
		"quota/p": `?`, "health/p": `{"v":1}`, "penalty/g": `{"v":1}`,
		"images/i/builds/now": build("now", pool.BuildBuilding, ""), "images/i/builds/failed": build("failed", pool.BuildFailed, ""),
		"images/i/builds/now/uploads/p":   upload("now", pool.UploadReady, ""), // of no build that is imported
		"images/i/builds/trial/uploads/q": strings.Replace(upload("trial", pool.UploadUploading, gone), `"p"`, `"q"`, 1),
		"images/i/builds/trial/uploads/r": strings.Replace(upload("trial", pool.UploadFailed, ""), `"p"`, `"r"`, 1),
	}
	all := map[string]string{}
	for _, part := range []map[string]string{want, left} {
		maps.Copy(all, part)
	}
	state := exported(t, kept(t, "/old", all))
	s := kept(t, "/new", nil)
	r, err := s.Restorable(t.Context(), state)
	if err != nil {
		t.Fatal(err)
	}
	if r.Writes() != len(want) {
		t.Errorf("%d are to be written, want %d", r.Writes(), len(want))
	}
	if err := s.Restore(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	got := values(t, s)
	for key, value := range want {
		if !contains(t, got[key], value) {
			t.Errorf("%s is %s, want %s", key, got[key], value)
		}
	}
	if len(got) != len(want) {
		t.Errorf("there are %v", got)
	}
	again, err := s.Restorable(t.Context(), state)
	if err != nil || again.Writes() != 0 {
		t.Errorf("once more %d are to be written (%v), want none", again.Writes(), err)
	}
	if err := s.Restore(t.Context(), r); !errors.Is(err, pool.ErrConflict) {
		t.Errorf("done twice: %v", err)
	}
}

// contains tells whether an object has every field of another, as it is there.
func contains(t *testing.T, got, want string) bool {
	t.Helper()
	var has, fields map[string]any
	if got == "" {
		return false
	}
	if err := errors.Join(json.Unmarshal([]byte(got), &has), json.Unmarshal([]byte(want), &fields)); err != nil {
		t.Fatal(err)
	}
	for name, value := range fields {
		if !cmp.Equal(has[name], value) {
			return false
		}
	}
	return true
}

// What is there stays as it is, and what is missing beside it is written.
func TestRestoreLeavesWhatIsThere(t *testing.T) {
	ready := build("b", pool.BuildReady, "")
	state := exported(t, kept(t, "/p", map[string]string{
		"installation": ourID, "freeze": `{"v":1,"by":"old"}`, "images/i/builds/b": ready,
		"images/i/builds/b/uploads/p": upload("b", pool.UploadReady, ""),
	}))
	there := map[string]string{
		"installation": ourID, "freeze": `{"v":1,"by":"new"}`, "images/i/builds/b": ready, "members/one": `{"v":1,"name":"one"}`,
	}
	s := kept(t, "/p", there)
	r, err := s.Restorable(t.Context(), state)
	if err != nil || r.Writes() != 1 {
		t.Fatalf("%d are to be written (%v), want the upload", r.Writes(), err)
	}
	if err := s.Restore(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	got := values(t, s)
	if _, ok := got["images/i/builds/b/uploads/p"]; !ok {
		t.Error("the upload is not there")
	}
	delete(got, "images/i/builds/b/uploads/p")
	if diff := cmp.Diff(there, got); diff != "" {
		t.Error(diff)
	}
}

// Nothing is written of a document that is doubtful in any part.
func TestRestoreRefuses(t *testing.T) {
	good := func() map[string]string {
		return map[string]string{"installation": ourID, "images/i/builds/b": build("b", pool.BuildReady, "")}
	}
	for name, c := range map[string]struct {
		key, value string // one more in the document; no value is none
		there      map[string]string
		spoil      func(*State)
		want       string
	}{
		"newer record":        {key: "images/i/builds/c", value: `{"v":2,"image":"i","id":"c"}`, want: "images/i/builds/c: "},
		"newer installation":  {key: "installation", value: `{"v":2,"id":"ours"}`, want: "newer version"},
		"no record":           {key: "freeze", value: `frozen`, want: "freeze: "},
		"at another's key":    {key: "drains/x", value: `{"v":1,"peer":"y"}`, want: "drains/x: "},
		"no key":              {key: "images/i/builds//x", value: `{}`, want: "key of another record"},
		"no installation":     {key: "installation", want: "no installation's id"},
		"of another":          {there: map[string]string{"installation": `{"v":1,"id":"other"}`}, want: "of installation ours, and this is other"},
		"peers without an id": {there: map[string]string{"members/one": `{"v":1,"name":"one"}`}, want: "stop poold everywhere"},
		"nodepool's":          {spoil: func(s *State) { *s = State{} }, want: "not what poolctl state export wrote"},
		"newer document":      {spoil: func(s *State) { s.Version++ }, want: "take a newer one"},
		"twice":               {spoil: func(s *State) { s.Records["builds"] = append(s.Records["builds"], s.Records["builds"]...) }, want: "twice"},
	} {
		t.Run(name, func(t *testing.T) {
			old := good()
			if c.key != "" {
				old[c.key] = c.value
			}
			if c.key != "" && c.value == "" {
				delete(old, c.key)
			}
			state := exported(t, kept(t, "/p", old))
			if c.spoil != nil {
				c.spoil(state)
			}
			s := kept(t, "/p", c.there)
			_, err := s.Restorable(t.Context(), state)
			if !errors.Is(err, pool.ErrRefused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want a refusal with %q", err, c.want)
			}
		})
	}
}

// An installation that others took meanwhile is nobody's to import into.
func TestRestoreIntoWhatBecameAnothers(t *testing.T) {
	state := exported(t, kept(t, "/p", map[string]string{"installation": ourID, "images/i/builds/b": build("b", pool.BuildReady, "")}))
	s := kept(t, "/p", nil)
	r, err := s.Restorable(t.Context(), state)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Installation(t.Context(), func() (string, error) { return "other", nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(t.Context(), r); !errors.Is(err, pool.ErrConflict) {
		t.Errorf("%v, want a conflict", err)
	}
	if got := values(t, s); len(got) != 1 {
		t.Errorf("there are %v", got)
	}
}

// A build and its uploads are written at once, and no transaction is too large.
// The id comes before all.
func TestRestoreInTransactions(t *testing.T) {
	old := map[string]string{"installation": ourID}
	for b := range 70 {
		id := fmt.Sprint("b", b)
		old["images/i/builds/"+id] = build(id, pool.BuildReady, "")
		old["images/i/builds/"+id+"-x"] = build(id+"-x", pool.BuildReady, "") // sorts before the uploads of id
		for p := range 6 {
			value := strings.Replace(upload(id, pool.UploadReady, ""), `"p"`, fmt.Sprintf(`"p%d"`, p), 1)
			old[fmt.Sprintf("images/i/builds/%s/uploads/p%d", id, p)] = value
		}
		name := fmt.Sprint("peer", b)
		old["drains/"+name] = fmt.Sprintf(`{"v":1,"peer":"%s"}`, name)
		old["pauses/provider/"+name] = fmt.Sprintf(`{"v":1,"provider":"%s"}`, name)
	}
	state := exported(t, kept(t, "/p", old))
	s := kept(t, "/p", nil)
	r, err := s.Restorable(t.Context(), state)
	if err != nil {
		t.Fatal(err)
	}
	all := r.transactions()
	in := map[string]int{} // which transaction a build is in
	for i, txn := range all {
		if len(txn) > restoredAtOnce {
			t.Errorf("transaction %d has %d changes", i, len(txn))
		}
		for _, x := range txn {
			of, _, _ := strings.Cut(x.Key, "/uploads/")
			if of == x.Key {
				in[of] = i
			} else if at, ok := in[of]; !ok || at != i {
				t.Errorf("%s is in transaction %d, its build in %d (%t)", x.Key, i, at, ok)
			}
		}
	}
	if all[0][0].Kind != "installation" {
		t.Errorf("the first is %s", all[0][0].Key)
	}
	if err := s.Restore(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if got := values(t, s); len(got) != len(old) {
		t.Errorf("there are %d of %d", len(got), len(old))
	}
}

// Of a build with more uploads than fit the rest comes after it.
func TestRestoreManyUploads(t *testing.T) {
	old := map[string]string{"installation": ourID, "images/i/builds/b": build("b", pool.BuildReady, "")}
	for p := range 2 * restoredAtOnce {
		old[fmt.Sprintf("images/i/builds/b/uploads/p%d", p)] = strings.Replace(upload("b", pool.UploadReady, ""), `"p"`, fmt.Sprintf(`"p%d"`, p), 1)
	}
	state := exported(t, kept(t, "/p", old))
	s := kept(t, "/p", nil)
	r, err := s.Restorable(t.Context(), state)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if got := values(t, s); len(got) != len(old) {
		t.Errorf("there are %d of %d", len(got), len(old))
	}
	sizes := []int{}
	for _, txn := range r.transactions() {
		sizes = append(sizes, len(txn))
	}
	if !slices.Equal(sizes, []int{1, 100, 100, 1}) {
		t.Errorf("transactions of %v", sizes)
	}
}

// What somebody made meanwhile stays as it is.
func TestRestoreMeetsAnother(t *testing.T) {
	state := exported(t, kept(t, "/p", map[string]string{"installation": ourID, "freeze": `{"v":1,"by":"old"}`}))
	s := kept(t, "/p", map[string]string{"installation": ourID})
	r, err := s.Restorable(t.Context(), state)
	if err != nil {
		t.Fatal(err)
	}
	w := pool.Write{By: pool.Operator, Freezes: []pool.Change[pool.Freeze]{pool.Create(&pool.Freeze{V: 1, By: "new"})}}
	if _, err := s.Apply(t.Context(), nil, w); err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(t.Context(), r); !errors.Is(err, pool.ErrConflict) {
		t.Errorf("%v, want a conflict", err)
	}
	if got := values(t, s)["freeze"]; !strings.Contains(got, `"new"`) {
		t.Errorf("the freeze is %s", got)
	}
}
