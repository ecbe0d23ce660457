//go:build chaos

package daemon

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"poold/cloud"
	"poold/store/kv"
)

// crashVariable says where to die by SIGKILL, as
//
//	before|after|hang write|call TEXT N
//
// separated by "|": before or after the N-th write that holds TEXT in a key or
// value, or the N-th call whose operation holds TEXT. With hang it does not die there,
// but never goes on. Only a build with the tag
// chaos looks at it.
const crashVariable = "POOLD_CRASH"

// crashPoint is a parsed crashVariable.
type crashPoint struct {
	when, what, text string
	left             atomic.Int64
}

func crashPointFromEnv() *crashPoint {
	parts := strings.Split(os.Getenv(crashVariable), "|")
	if len(parts) != 4 {
		return &crashPoint{}
	}
	n, err := strconv.ParseInt(parts[3], 10, 64)
	if err != nil {
		panic(crashVariable + ": " + err.Error())
	}
	c := &crashPoint{when: parts[0], what: parts[1], text: parts[2]}
	c.left.Store(n)
	return c
}

// pass counts down, and does not return from the last count.
func (c *crashPoint) pass(when, what string, holds func(text string) bool) {
	if c.when != when || c.what != what || !holds(c.text) || c.left.Add(-1) != 0 {
		return
	}
	if when != "hang" {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // there is nobody left to tell
	}
	select {}
}

type crashKV struct {
	kv.KV
	point *crashPoint
}

func crashing(db kv.KV) kv.KV { return &crashKV{KV: db, point: crashPointFromEnv()} }

// Commit dies before or after the write.
func (c *crashKV) Commit(ctx context.Context, txn kv.Txn) (int64, bool, error) {
	holds := func(text string) bool {
		for _, op := range txn.Then {
			if strings.Contains(op.Key, text) || bytes.Contains(op.Value, []byte(text)) {
				return true
			}
		}
		return false
	}
	c.point.pass("before", "write", holds)
	c.point.pass("hang", "write", holds)
	revision, done, err := c.KV.Commit(ctx, txn)
	if done {
		c.point.pass("after", "write", holds)
	}
	return revision, done, err
}

type crashGate struct {
	cloud.Gate
	point *crashPoint
}

func crashingGate(g cloud.Gate) cloud.Gate { return &crashGate{Gate: g, point: crashPointFromEnv()} }

// Enter dies before the call, or after its answer and before anybody saw it.
func (c *crashGate) Enter(ctx context.Context, call cloud.Call) (func(cloud.Outcome), error) {
	leave, err := c.Gate.Enter(ctx, call)
	if err != nil {
		return nil, err
	}
	holds := func(text string) bool { return strings.Contains(call.Operation, text) }
	c.point.pass("before", "call", holds)
	c.point.pass("hang", "call", holds)
	return func(o cloud.Outcome) {
		c.point.pass("after", "call", holds)
		leave(o)
	}, nil
}
