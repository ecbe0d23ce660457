package pool_test

import (
	"strings"
	"testing"
	"time"

	"poold/pool"
)

// What serves is what is in the cloud, verified, and not taken out of service;
// the newest build comes first, whenever it was uploaded.
func TestServing(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	build := func(id string, age time.Duration, edit func(*pool.Build)) *pool.Build {
		b := &pool.Build{Image: "a", ID: id, State: pool.BuildReady, Created: at.Add(-age)}
		if edit != nil {
			edit(b)
		}
		return b
	}
	s := &pool.Snapshot{Builds: []*pool.Build{
		build("old", 3*time.Hour, nil),
		build("older", 4*time.Hour, nil),
		build("new", time.Hour, nil),
		build("paused", 0, func(b *pool.Build) { b.Withdrawn = "by me" }),
		build("going", 0, func(b *pool.Build) { b.State = pool.BuildDeleting }),
		build("gone", 0, func(b *pool.Build) { b.State = pool.BuildDeleted }),
	}}
	for i, u := range []struct {
		build, provider string
		state           pool.UploadState
		withdrawn       string
	}{
		{"new", "p", pool.UploadReady, ""},
		{"old", "p", pool.UploadReady, ""},
		{"older", "p", pool.UploadReady, "by me"},
		{"paused", "p", pool.UploadReady, ""},
		{"going", "p", pool.UploadReady, ""},
		{"gone", "p", pool.UploadReady, ""},
		{"new", "q", pool.UploadUploading, ""},
		{"old", "q", pool.UploadReady, ""},
		{"unknown", "r", pool.UploadReady, ""},
	} {
		s.Uploads = append(s.Uploads, &pool.Upload{
			Image: "a", Build: u.build, Provider: u.provider, State: u.state, Withdrawn: u.withdrawn, ExternalID: "x",
			Created: at.Add(time.Duration(i) * time.Minute), // older builds came later
		})
	}
	got := s.Serving()
	for provider, want := range map[string]string{"p": "new old", "q": "old", "r": "unknown", "none": ""} {
		var ids []string
		for _, u := range got[pool.Use{Provider: provider, Image: "a"}] {
			ids = append(ids, u.Build)
		}
		if have := strings.Join(ids, " "); have != want {
			t.Errorf("%s is served by %q, want %q", provider, have, want)
		}
	}
}

func TestCurrent(t *testing.T) {
	good, bad := &pool.Upload{}, &pool.Upload{Failing: "2 launches in a row failed"}
	for _, c := range []struct {
		serving []*pool.Upload
		want    *pool.Upload
	}{
		{nil, nil}, {[]*pool.Upload{good}, good}, {[]*pool.Upload{bad, good}, good}, {[]*pool.Upload{bad}, bad},
	} {
		if got := pool.Current(c.serving); got != c.want {
			t.Errorf("of %v: %v, want %v", c.serving, got, c.want)
		}
	}
}
