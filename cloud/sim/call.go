package sim

import (
	"cmp"
	"maps"
	"math"
	"time"

	"poold/cloud"
)

// Verdict is what becomes of a call: first Before, if it is set, instead of
// any effect; then the effect, and After, if it is set, instead of the answer.
// Either way the answer is given after Delay.
type Verdict struct {
	Delay         time.Duration
	Before, After *CallError
}

// bucket is the rate limit of one service.
type bucket struct {
	tokens float64
	at     time.Time
}

// Begin counts a call and says what becomes of it. Both faces ask it about
// every call, before the token is looked at, as a limiting proxy in front of
// the services would. The names are the id and the name of what the call
// concerns, as far as they are known.
func (c *Cloud) Begin(now time.Time, call cloud.Call, names ...string) Verdict {
	c.lock(now)
	defer c.mu.Unlock()
	c.calls[call]++
	v := Verdict{Delay: c.cfg.Latency.sample(c.rng)}
	if v.Before = c.limit(call.Service); v.Before != nil {
		return v
	}
	for _, f := range c.faults {
		if f.ofCalls() && f.on(call) && f.matches(names) && f.strikes() {
			c.tell(f)
			c.apply(&f.Fault, &v)
		}
	}
	return v
}

// Calls returns how often each call was made since the start or the last
// [Cloud.ResetCalls], by service and operation: "compute GET /servers/{id}".
func (c *Cloud) Calls() map[string]int {
	c.mu.Lock()
	calls := maps.Clone(c.calls)
	c.mu.Unlock()
	named := make(map[string]int, len(calls))
	for call, n := range calls {
		named[string(call.Service)+" "+call.Operation] = n
	}
	return named
}

// ResetCalls starts counting anew.
func (c *Cloud) ResetCalls() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.calls)
}

func (c *Cloud) limit(s cloud.Service) *CallError {
	if c.cfg.Rate <= 0 {
		return nil
	}
	b, found := c.buckets[s]
	if !found {
		b = &bucket{tokens: float64(c.cfg.Burst), at: c.now}
		c.buckets[s] = b
	}
	b.tokens = min(float64(c.cfg.Burst), b.tokens+c.now.Sub(b.at).Seconds()*c.cfg.Rate)
	b.at = c.now
	if b.tokens < 1 {
		wait := math.Ceil((1 - b.tokens) / c.cfg.Rate)
		return &CallError{
			Status: statusTooManyRequests, Message: "Too many requests.",
			RetryAfter: time.Duration(wait) * time.Second,
		}
	}
	b.tokens--
	return nil
}

func (f *armed) ofCalls() bool {
	switch f.Kind {
	case FaultStatus, FaultCut, FaultLostReply, FaultStatusAfter, FaultSlow, FaultRevoke:
		return true
	case FaultStuckBuild, FaultServerError, FaultNoSSH, FaultVanish, FaultStuckDelete,
		FaultImageKilled, FaultImageDeleted, FaultImportFails, FaultStaleList, FaultCellDown, FaultZoneGone:
	}
	return false
}

func (c *Cloud) apply(f *Fault, v *Verdict) {
	answer := &CallError{Status: f.Status, Message: "It failed.", RetryAfter: f.RetryAfter, Body: f.Body}
	v.Delay += f.Delay
	switch f.Kind {
	case FaultStatus:
		answer.Status = cmp.Or(f.Status, statusUnavailable)
		v.Before = answer
	case FaultStatusAfter:
		answer.Status = cmp.Or(f.Status, statusInternalError)
		v.After = answer
	case FaultCut:
		v.Before = &CallError{}
	case FaultLostReply:
		v.After = &CallError{}
	case FaultRevoke:
		clear(c.tokens)
	case FaultSlow, FaultStuckBuild, FaultServerError, FaultNoSSH, FaultVanish, FaultStuckDelete,
		FaultImageKilled, FaultImageDeleted, FaultImportFails, FaultStaleList, FaultCellDown, FaultZoneGone:
	}
}
