package openstack

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poold/cloud"
)

func aServer(id, status, updated, metadata string) string {
	return fmt.Sprintf(`{"id": %q, "name": "n-%[1]s", "status": %q, "updated": %q, "created": "2026-11-21T01:00:00Z",
		"metadata": {%s}, "flavor": {"links": [{"rel": "x"}]}, "OS-EXT-STS:task_state": null, "addresses": {}}`,
		id, status, updated, metadata)
}

const ourMark = `"poold_installation": "ours"`

// A list follows its pages on our own endpoint, whatever host the links name,
// and begins the next list where its first page stood.
func TestListPages(t *testing.T) {
	var asked []string
	newStub(t, "", func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		if r.URL.Query().Get("marker") == "" {
			say(w, `{"servers_links": [{"rel": "next", "href": "https://internal.invalid/v2.1/servers/detail?marker=b"}],
				"unknown": {"servers": [1]}, "servers": [%s, %s]}`,
				aServer("a", "ACTIVE", "2026-11-21T02:00:00Z", ourMark), aServer("b", "ACTIVE", "2026-11-21T02:00:20Z", ""))
			return
		}
		say(w, `{"servers": [%s]}`, aServer("c", "ERROR", "2026-11-21T02:09:00Z", ourMark))
	})
	l, err := open(t, "ours", cloud.Open{}).Instances(t.Context(), cloud.ListMark{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"", "marker=b"}, asked); diff != "" {
		t.Errorf("queries (-want +got):\n%s", diff)
	}
	if len(l.Instances) != 2 || l.Instances[0].ID != "a" || l.Instances[1].Status != cloud.StatusError || l.Others != 1 || !l.Full {
		t.Errorf("got %+v", l)
	}
	if want := time.Date(2026, 11, 21, 2, 0, 15, 0, time.UTC); !l.Next.At.Equal(want) {
		t.Errorf("the next mark is %v, want %v", l.Next.At, want)
	}
}

// A list of changes asks from its mark on, keeps the mark where nothing
// changed, shows what was deleted though its mark is lost, and notices a cloud
// that does not know the question.
func TestListChanges(t *testing.T) {
	since := cloud.ListMark{At: time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)}
	var page string
	newStub(t, "", func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.Query().Get("changes-since"); got != "2026-11-21T02:00:00Z" {
			t.Errorf("changes-since is %q", got)
		}
		say(w, `{"servers": [%s]}`, page)
	})
	d := open(t, "ours", cloud.Open{})
	for _, c := range []struct {
		name, page   string
		ids          string
		full         bool
		others, next int // next in seconds after since
	}{
		{"nothing", "", "", false, 0, 0},
		{"one of ours", aServer("a", "ACTIVE", "2026-11-21T02:00:30Z", ourMark), "a", false, 0, 25},
		{"what was seen before", aServer("a", "ACTIVE", "2026-11-21T02:00:03Z", ourMark), "a", false, 0, 0},
		{"a deleted one without its mark", aServer("a", "DELETED", "2026-11-21T02:00:30Z", ""), "a", false, 0, 25},
		{"a deleted one of others", aServer("a", "DELETED", "2026-11-21T02:00:30Z", `"poold_installation": "x"`), "", false, 0, 25},
		{"one of others", aServer("a", "ACTIVE", "2026-11-21T02:00:30Z", ""), "", false, 0, 25},
		{
			"everything",
			aServer("a", "ACTIVE", "2026-11-21T01:00:00Z", ourMark) + "," + aServer("b", "ACTIVE", "2026-11-21T01:00:00Z", ""),
			"a", true, 1, 0,
		},
	} {
		page = c.page
		l, err := d.Instances(t.Context(), since)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, i := range l.Instances {
			ids = append(ids, i.ID)
		}
		next := since.At.Add(time.Duration(c.next) * time.Second)
		if strings.Join(ids, " ") != c.ids || l.Full != c.full || l.Others != c.others || !l.Next.At.Equal(next) {
			t.Errorf("%s: got %v full=%v others=%d next=%v, want %q %v %d %v",
				c.name, ids, l.Full, l.Others, l.Next.At, c.ids, c.full, c.others, next)
		}
	}
}

// Half a list is no list: what it lacks would look gone.
func TestBrokenLists(t *testing.T) {
	for _, body := range []string{
		`{"servers": [` + aServer("a", "ACTIVE", "2026-11-21T02:00:30Z", ourMark), `{"servers": []`, `{}`, `[]`, ``,
		`<html>maintenance</html>`, `{"servers": null}`,
	} {
		newStub(t, "", func(w http.ResponseWriter, _ *http.Request) { say(w, "%s", body) })
		_, err := open(t, "ours", cloud.Open{}).Instances(t.Context(), cloud.ListMark{})
		wantKind(t, body, err, cloud.Transient)
	}
}

func TestListLinkedToItself(t *testing.T) {
	newStub(t, "", func(w http.ResponseWriter, _ *http.Request) {
		say(w, `{"servers": [], "servers_links": [{"rel": "next", "href": "/servers/detail?marker=a"}]}`)
	})
	_, err := open(t, "ours", cloud.Open{}).Instances(t.Context(), cloud.ListMark{})
	wantKind(t, "list", err, cloud.Unclassified)
}

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		status, task string
		want         cloud.Status
	}{
		{"BUILD", "spawning", cloud.StatusBuilding},
		{"ACTIVE", "", cloud.StatusActive},
		{"ACTIVE", "deleting", cloud.StatusDeleting},
		{"ERROR", "", cloud.StatusError},
		{"DELETED", "deleting", cloud.StatusDeleted},
		{"SOFT_DELETED", "", cloud.StatusDeleting},
		{"SHUTOFF", "", cloud.StatusOther},
	} {
		if got := (&server{Status: c.status, Task: c.task}).status(); got != c.want {
			t.Errorf("%s %s: got %s, want %s", c.status, c.task, got, c.want)
		}
	}
}

// Of what a list of changes shows again, only what is not the same is read
// again, and each list shows it all.
func TestListChangesReadsNothingTwice(t *testing.T) {
	at := func(second int) string { return fmt.Sprintf("2026-11-21T02:00:%02dZ", second) }
	since := cloud.ListMark{At: time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)}
	var page string
	newStub(t, "", func(w http.ResponseWriter, _ *http.Request) { say(w, `{"servers": [%s]}`, page) })
	d := open(t, "ours", cloud.Open{})
	for i, c := range []struct {
		servers []string
		want    string
		known   int
	}{
		{[]string{aServer("a", "BUILD", at(10), ourMark), aServer("b", "BUILD", at(10), ourMark)}, "a building, b building", 2},
		{[]string{aServer("a", "ACTIVE", at(20), ourMark), aServer("b", "BUILD", at(10), ourMark)}, "a active, b building", 2},
		{[]string{aServer("a", "ACTIVE", at(20), ourMark), aServer("c", "BUILD", at(30), ourMark)}, "a active, c building", 2},
		// Nothing changed: the next list is far, and nothing is kept for it.
		{[]string{aServer("c", "BUILD", at(30), ourMark)}, "c building", 0},
		{[]string{aServer("c", "ERROR", at(40), ourMark)}, "c error", 1},
		// All there is, whatever was asked for.
		{[]string{aServer("old", "ACTIVE", "2026-11-20T00:00:00Z", ourMark), aServer("c", "ERROR", at(50), ourMark)}, "old active, c error", 0},
	} {
		page = strings.Join(c.servers, ",")
		before := maps.Clone(d.shown.known)
		l, err := d.Instances(t.Context(), since)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, i := range l.Instances {
			got = append(got, i.ID+" "+string(i.Status))
		}
		if strings.Join(got, ", ") != c.want || len(d.shown.known) != c.known {
			t.Errorf("list %d: got %v, want %s; %d are known, want %d", i, got, c.want, len(d.shown.known), c.known)
		}
		for text, k := range d.shown.known {
			if before[text] != nil && before[text] != k {
				t.Errorf("list %d: %s was read again", i, k.ID)
			}
		}
		since = l.Next
	}
}
