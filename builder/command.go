package builder

import (
	"context"
	"strings"
	"time"

	"poold/pool"
)

// obey carries out the operators' open commands about builds of the image, each
// in one write with its result. It returns whether it wrote.
func (b *Builder) obey(ctx context.Context, s *pool.Snapshot, builds []*pool.Build, now time.Time) (bool, error) {
	written := false
	for _, c := range s.Commands {
		id, ours := target(c, b.image.Name)
		if !ours {
			continue
		}
		if err := b.apply(ctx, carryOut(c, find(builds, id), now)); err != nil {
			return written, err
		}
		written = true
	}
	return written, nil
}

// target is the id of the build that an open command is about, and whether it
// is one of the image.
func target(c *pool.Command, image string) (string, bool) {
	if c.Verb != pool.VerbWithdrawBuild && c.Verb != pool.VerbRestoreBuild && c.Verb != pool.VerbDeleteBuild {
		return "", false
	}
	at := strings.LastIndexByte(c.Target, '/')
	return c.Target[at+1:], !c.Done && at >= 0 && c.Target[:at] == image
}

func find(builds []*pool.Build, id string) *pool.Build {
	for _, b := range builds {
		if b.ID == id {
			return b
		}
	}
	return nil
}

// carryOut is the write of a command's effect and its result. It is pure.
func carryOut(c *pool.Command, is *pool.Build, now time.Time) pool.Write {
	w := pool.Write{By: pool.Operator}
	done := *c
	done.Done = true
	if is == nil || is.State == pool.BuildDeleted {
		done.Error, done.NotFound = "no such build", true
	} else if after, refusal := effect(c, is, now); refusal != "" {
		done.Error = refusal
	} else if after != nil {
		w.Builds = []pool.Change[pool.Build]{pool.Update(is, after)}
	}
	w.Commands = []pool.Change[pool.Command]{pool.Update(c, &done)}
	return w
}

// effect is the build after a command, nil if it stays as it is, or why the
// command is refused.
func effect(c *pool.Command, is *pool.Build, now time.Time) (after *pool.Build, refusal string) {
	switch {
	case is.State == pool.BuildBuilding:
		return nil, "it is being built"
	case c.Verb == pool.VerbDeleteBuild && is.State == pool.BuildDeleting:
		return nil, ""
	case c.Verb == pool.VerbDeleteBuild:
		reason := "deleted " + c.Why()
		after = is.Moved(pool.BuildDeleting, now).Because(reason)
		after.Withdrawn = reason
		return after, ""
	case is.State != pool.BuildReady:
		return nil, "it is " + string(is.State)
	}
	paused := *is
	paused.Withdrawn = ""
	if c.Verb == pool.VerbWithdrawBuild {
		paused.Withdrawn = "paused " + c.Why()
	}
	return &paused, ""
}
