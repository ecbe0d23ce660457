package sim

import (
	"sync"
	"time"
)

// process is one life of a peer or a client as its surroundings see it: it can
// be killed and it can be frozen, and then nothing more of it leaves.
type process struct {
	mu   sync.Mutex
	dead bool
	thaw chan struct{} // while frozen
	cut  time.Time     // until when the network to etcd is cut
}

// alive waits while the process is frozen, and returns whether it lives. Those
// that a thaw wakes together go on one after the other.
func (p *process) alive(d *dice) bool {
	for {
		p.mu.Lock()
		thaw, dead := p.thaw, p.dead
		p.mu.Unlock()
		if thaw == nil || dead {
			return !dead
		}
		<-thaw
		time.Sleep(d.between(time.Microsecond, time.Millisecond))
		shake()
	}
}

// lives returns whether the process lives, frozen or not.
func (p *process) lives() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.dead
}

func (p *process) frozen() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.thaw != nil || p.dead
}

func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = true
	p.warm()
}

// warm ends a freeze; mu is held.
func (p *process) warm() {
	if p.thaw != nil {
		close(p.thaw)
		p.thaw = nil
	}
}

func (p *process) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.thaw == nil && !p.dead {
		p.thaw = make(chan struct{})
	}
}

func (p *process) unfreeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.warm()
}

// cutOff cuts the network to etcd until a time.
func (p *process) cutOff(until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = until
}

// isolated returns for how long the network is cut yet.
func (p *process) isolated() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Until(p.cut)
}
