package web

import (
	"fmt"
	"testing"

	"poold/web/model"
)

// The many troubles of one class leave room for those of another, and none is lost.
func TestManyTroublesAreGrouped(t *testing.T) {
	var all []model.Trouble
	add := func(class string, n int) {
		for range n {
			all = append(all, model.Trouble{Class: class})
		}
	}
	add("upload-fails", 2)
	add("etcd-slow", 1)
	add("upload-fails", 5)
	add("quota-full", 4)
	got := ""
	for _, g := range grouped(all) {
		got += fmt.Sprintf("%s %d+%d; ", g.Class, len(g.Shown), len(g.More))
	}
	if want := "upload-fails 3+4; etcd-slow 1+0; quota-full 4+0; "; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
