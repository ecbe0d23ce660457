package uploader

import (
	"fmt"
	"slices"

	"poold/pool"
)

// Trial is an upload before and after its canary has told something.
type Trial struct{ Upload, After *pool.Upload }

// verified is the state of an upload that is in the cloud as it should be.
func verified(p *pool.Provider, image string) pool.UploadState {
	if use := imageUse(p, image); use != nil && use.Canary {
		return pool.UploadTrial
	}
	return pool.UploadReady
}

// trial decides about an upload that is to serve once its canary is reached.
func (d *decision) trial(u *pool.Upload, reason string) {
	if reason == "" && (d.ready > 0 || d.wanted != nil && d.wanted.ID != u.Build) {
		reason = "superseded before it served"
	}
	if reason != "" {
		if !d.needed(u) {
			d.retire(u, reason)
		}
		return
	}
	if after := d.told(u); after != nil {
		d.plan.Trials = append(d.plan.Trials, Trial{u, after})
	}
}

// told is the upload after what its canaries have told, or nil if that is
// nothing new. With no other to serve it is tried for as long as it takes: to
// give it up would help nobody.
func (d *decision) told(u *pool.Upload) *pool.Upload {
	if !d.tried(u.Image) {
		return u.Moved(pool.UploadReady, d.now).Because("no canary is wanted")
	}
	after := *u
	var last *pool.Node
	for _, n := range d.Snapshot.NodesOf(u.Provider) {
		if n.ImageID != u.ExternalID {
			continue
		}
		if _, reached := n.Entered(pool.NodeReady); reached {
			return u.Moved(pool.UploadReady, d.now).Because("node " + string(n.ID) + " was reached")
		}
		if n.Failure.SpeaksOfImage() && !slices.Contains(after.Tried, n.ID) {
			after.Tried, last = append(slices.Clip(after.Tried), n.ID), n
		}
	}
	use := pool.Use{Provider: u.Provider, Image: u.Image}
	switch {
	case len(after.Tried) >= pool.CanaryTries && len(d.Snapshot.Serving()[use]) > 0:
		failed := after.Moved(pool.UploadFailed, d.now)
		failed.Error = fmt.Sprintf("none of %d nodes made from it was reached", len(after.Tried))
		if last != nil {
			failed.Error += fmt.Sprintf(", last %s: %s (%s)", last.ID, last.Reason, last.Failure)
		}
		failed.Withdrawn = "refused: " + failed.Error
		return failed.Because(failed.Error)
	case last != nil:
		return &after
	}
	return nil
}

// tried tells whether uploads of an image are tried: the provider says so, and
// a label uses it.
func (d *decision) tried(image string) bool {
	if d.use != nil && !d.use.Canary {
		return false
	}
	for i := range d.Provider.Pools {
		if slices.ContainsFunc(d.Provider.Pools[i].Labels, func(l pool.LabelSpec) bool { return l.DiskImage == image }) {
			return true
		}
	}
	return false
}
