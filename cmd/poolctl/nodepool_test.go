package main

import (
	"slices"
	"strings"
	"testing"
)

// What nodepool's commands are called shows what the commands here show.
func TestNodepoolLists(t *testing.T) {
	for old, of := range map[string]string{
		"image-list": "upload list", "dib-image-list": "image list", "image-status": "image list", "request-list": "request list",
		"alien-image-list": "leak list", "alien-image-list north": "leak list --provider north", "list --detail": "list -o wide",
		"list --detail -o json": "list -o json", "-l logging.conf --debug list": "list",
	} {
		got, err := poolctl(t, strings.Fields(old)...)
		want, wantErr := poolctl(t, strings.Fields(of)...)
		if err != nil || wantErr != nil || got != want {
			t.Errorf("poolctl %s prints %q (%v), want that of %s, %q (%v)", old, got, err, of, want, wantErr)
		}
	}
	uploads, _ := poolctl(t, "upload", "list", "--provider", "north")
	nodes, _ := poolctl(t, "node", "list", "--provider", "north")
	if got, err := poolctl(t, "info", "north"); err != nil || got != uploads+nodes {
		t.Errorf("poolctl info prints %q, %v", got, err)
	}
	if help, _ := poolctl(t, "--help"); strings.Contains(help, "dib-image") {
		t.Errorf("nodepool's commands are in the help:\n%s", help)
	}
}

// And what they do is done here.
func TestNodepoolCommands(t *testing.T) {
	name, _, records := prefix(t)
	if err := seedImages(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	serve(t, records, obey)
	for _, c := range []struct {
		line string
		code int
		does string // the verb, and the target
	}{
		{"image-build noble", 0, "image-build noble"},
		{"hold a", 0, "node-hold a"},
		{"delete b --now", 0, "node-delete b"},
		{"dib-image-delete noble-0001", 0, "build-delete noble/0001"},
		{"dib-image-delete noble/0001", 0, "build-delete noble/0001"},
		{"image-delete --provider north --image noble --build-id 0001 --upload-id 7", 0, "upload-delete noble/0001"},
		{"image-delete --image noble --build-id 0001", exitUsage, ""},
		{"image-delete --provider east --image noble --build-id 0001", exitNotFound, ""},
		{"erase none --force", exitNotFound, ""},
		{"config-validate", exitUsage, ""},
	} {
		before := told(t, records)
		_, err := poolctl(t, append(strings.Fields(c.line), "--prefix", name)...)
		code := 0
		if err != nil {
			code = exitCode(err)
		}
		after := told(t, records)
		if code != c.code || c.does == "" && len(after) != len(before) {
			t.Errorf("poolctl %s: exit code %d (%v), want %d", c.line, code, err, c.code)
		}
		if c.does != "" && count(after, c.does) != count(before, c.does)+1 {
			t.Errorf("poolctl %s does not do %s; done were %q", c.line, c.does, after)
		}
	}
}

func count(list []string, what string) int {
	return len(slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s != what }))
}
