package chaos

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"poold/test/demo"
)

// Every server and image is found that no record has, and every record that no
// cloud has.
func TestUnsettled(t *testing.T) {
	var owned nodeRecord
	owned.ID, owned.Provider, owned.State, owned.InstanceID, owned.AllocatedTo = "n5", "p", "ready", "s5", &struct {
		Client, ID     string
		CreateRevision int64 `json:"create_revision"`
	}{Client: "c", ID: "a", CreateRevision: 1}
	ours := map[string]string{"poold_installation": "x"}
	n := now{
		nodes: []nodeRecord{
			{ID: "n1", State: "ready", InstanceID: "s1"},
			{ID: "n2", State: "deleted", InstanceID: "s2"},
			{ID: "n0", State: "deleted", InstanceID: "s0", Provider: "p"},
			{ID: "n3", State: "deleting", InstanceID: "s3", Provider: "p"},
			{ID: "n4", State: "ready", InstanceID: "s4", Provider: "p"},
			owned,
		},
		uploads: []uploadRecord{
			{State: "ready", ExternalID: "i1", Bytes: 3},
			{State: "ready", ExternalID: "i5", Provider: "p", Bytes: 3},
			{State: "ready", ExternalID: "i6", Provider: "p", Bytes: 3},
			{State: "deleted", ExternalID: "i0", Provider: "p"},
			{State: "ready", ExternalID: "i2", Provider: "p"},
			{State: "failed", ExternalID: "i3", Provider: "p"},
		},
		servers: []demo.Server{{ID: "s0"}, {ID: "s1"}, {ID: "s3"}, {ID: "s5"}, {ID: "s6"}},
		images: []demo.Image{
			{ID: "i0", Properties: ours},
			{ID: "i1", Properties: ours, Status: "active", Bytes: 3},
			{ID: "i4", Properties: ours},
			{ID: "theirs"},
			{ID: "i5", Properties: ours, Status: "active"},
			{ID: "i6", Properties: ours, Status: "saving", Bytes: 3},
			{ID: "i7", Name: "poold installation=x upload=i%2F1"},
		},
		objects: []string{"poold-x-p/i-1.raw"},
	}
	want := []string{
		"no record has the image i4",
		"no record has the image i7",
		"no record has the server s6",
		"nobody needs the object poold-x-p/i-1.raw",
		"node n0 of p is deleted and has the server s0",
		"node n3 of p is deleting",
		"node n4 of p has no server s4",
		"node n5 of p belongs to {c/a 1}, which is over",
		"the upload to p has no image i2",
		"the upload to p is deleted and has the image i0",
		"the upload to p is failed",
		"the upload to p of 3 bytes has the image i5, which is active and has 0",
		"the upload to p of 3 bytes has the image i6, which is saving and has 3",
	}
	if got := n.unsettled(); !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A request that was not served is lost, and two clients with one node are
// told from one that declined it.
func TestLost(t *testing.T) {
	got := lost([]outcome{
		{name: "a", nodes: []string{"n1", "n2"}},
		{name: "b", nodes: []string{"n3"}, declined: true},
		{name: "c", nodes: []string{"n3"}},
		{name: "d", nodes: []string{"n2"}},
		{name: "e", err: errors.New("no answer")},
	})
	want := []string{"node n2 was given to a and to d", "lost: e: no answer"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A secret is found in every record and every file that has it.
func TestRevealed(t *testing.T) {
	history := []event{{revision: 1, key: "a", value: []byte(`{"x":"secret"}`)}, {revision: 2, key: "b", value: []byte(`{}`)}, {revision: 3, key: "a"}}
	files := map[string][]byte{"one.log": []byte("nothing"), "two.log": []byte("is secret\n")}
	if got := revealed("secret", history, files); len(got) != 2 {
		t.Errorf("found %q", got)
	}
	if got := revealed("other", history, files); len(got) != 0 {
		t.Errorf("found %q", got)
	}
}
