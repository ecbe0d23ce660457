package statsd

import (
	"cmp"
	"time"

	"poold/pool"
)

// happened are the lines about what a write ended.
func happened(w *pool.Write) []string {
	var lines []string
	for _, c := range w.Nodes {
		if c.Before != nil && c.After != nil {
			lines = append(lines, launched(c.Before, c.After)...)
		}
	}
	for _, c := range w.Builds {
		if c.Before != nil && c.After != nil {
			lines = append(lines, built(c.Before, c.After)...)
		}
	}
	for _, c := range w.Uploads {
		if c.Before != nil && c.After != nil {
			lines = append(lines, uploaded(c.Before, c.After)...)
		}
	}
	return lines
}

// launched tells of a launch that ended, as the metrics of the launcher count them.
func launched(before, after *pool.Node) []string {
	result := "ready"
	switch {
	case before.State != pool.NodeBuilding && before.State != pool.NodePending:
		return nil
	case after.State == pool.NodeFailed:
		result = launchError(after.Failure)
	case after.State != pool.NodeReady:
		return nil
	}
	began, there := after.Entered(before.State)
	if !there {
		began = after.Created
	}
	took := after.Since.Sub(began)
	lines := append(timed(name("launch", "provider", after.Provider, result), took), timed(name("launch", result), took)...)
	if after.AZ != "" {
		lines = append(lines, timed(name("launch", "provider", after.Provider, after.AZ, result), took)...)
	}
	return lines
}

// launchError is nodepool's word for why a launch failed, as far as it has one.
func launchError(k pool.Kind) string {
	switch k {
	case pool.KindQuota:
		return "error.quota"
	case pool.KindCapacity:
		return "error.capacity"
	case pool.KindTimeout:
		return "error.servercreatetimeout"
	case pool.KindUnreachable:
		return "error.keyscan"
	case pool.KindTransient, pool.KindRateLimited, pool.KindNotFound, pool.KindConflict, pool.KindUnauthorized, pool.KindInvalid,
		pool.KindAmbiguous, pool.KindUnclassified, pool.KindNeverSeen, pool.KindVanished:
	}
	return "error.unknown"
}

// built tells of a build that ended.
func built(before, b *pool.Build) []string {
	if before.State != pool.BuildBuilding {
		return nil
	}
	of, failed := name("dib_image_build", b.Image), int64(1)
	var lines []string
	switch b.State {
	case pool.BuildReady:
		failed = 0
		for i := range b.Artifacts {
			a := &b.Artifacts[i]
			lines = append(lines, gauge(name("dib_image_build", b.Image, a.Format, "size"), cmp.Or(a.DiskBytes, a.Bytes)))
		}
	case pool.BuildFailed:
	case pool.BuildBuilding, pool.BuildDeleting, pool.BuildDeleted:
		return nil
	}
	return append(lines, timer(of+".status.duration", b.Since.Sub(b.Created)),
		gauge(of+".status.rc", failed), gauge(of+".status.last_build", b.Since.Unix()))
}

// uploaded tells of an upload that became ready.
func uploaded(before, u *pool.Upload) []string {
	if before.State == pool.UploadReady || u.State != pool.UploadReady {
		return nil
	}
	return timed(name("image_update", u.Image, u.Provider), sending(u))
}

// sending is how long the data of an upload took to be in the cloud, without the
// trial that may follow.
func sending(u *pool.Upload) time.Duration {
	began, ended := u.Created, u.Since
	for i, e := range u.Timeline {
		if e.State == pool.UploadUploading && i+1 < len(u.Timeline) {
			began, ended = e.At, u.Timeline[i+1].At
		}
	}
	return ended.Sub(began)
}
