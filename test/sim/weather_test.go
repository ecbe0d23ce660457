package sim

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"poold/cloud/sim"
)

// etcdWeather takes etcd away for a while, and makes it forget.
func (w *world) etcdWeather(ctx context.Context) {
	defer w.kv.Up()
	for n := 1; w.open(ctx); n++ {
		d := w.seed.dice("etcd", strconv.Itoa(n))
		w.work(ctx, d.between(5*time.Second, 3*w.odds.pause))
		if !w.open(ctx) {
			return
		}
		if d.below(3) == 0 {
			w.judge.table.strike(FaultEtcdDown, "world")
			w.note("etcd is down")
			w.kv.Down()
			w.work(ctx, d.between(time.Second, 25*time.Second))
			w.kv.Up()
			continue
		}
		_ = w.kv.Compact(w.kv.Revision()) // compacted already is as good
	}
}

// fate is what happens to a peer during the storm. After it the peer runs.
func (p *peer) fate(ctx context.Context) {
	defer func() {
		p.life.proc.unfreeze()
		p.life.proc.cutOff(time.Time{})
		if ctx.Err() != nil {
			return
		}
		if p.old && p.life.proc.lives() {
			p.life.stop() // it gets the configuration of the others
		}
		if !p.life.proc.lives() {
			<-p.life.done
			p.old = false
			p.start(ctx)
		}
	}()
	for n := 1; p.w.open(ctx); n++ {
		d := p.w.seed.dice("fate", p.name, strconv.Itoa(n))
		next := time.NewTimer(d.between(2*time.Second, 3*p.w.odds.pause))
		select {
		case <-next.C:
			p.suffer(ctx, d)
		case <-p.life.done: // a call killed it
			p.w.work(ctx, d.between(100*time.Millisecond, 20*time.Second))
			p.again(ctx)
		case <-p.w.calm:
		case <-ctx.Done():
		}
		next.Stop()
	}
}

// again starts the peer anew.
func (p *peer) again(ctx context.Context) {
	if ctx.Err() == nil {
		p.start(ctx)
		p.w.note("%s starts", p.life.link.who)
	}
}

func (p *peer) suffer(ctx context.Context, d *dice) {
	l := p.life
	who := l.link.who
	strike := func(f Fault) {
		p.w.note("%s: %s", who, f)
		p.w.judge.struckPeer(who, f)
	}
	switch d.below(6) {
	case 0:
		strike(FaultKill)
		l.kill()
		<-l.done
		p.w.work(ctx, d.between(100*time.Millisecond, 30*time.Second))
		p.again(ctx)
	case 1, 2:
		strike(FaultFreeze)
		l.proc.freeze()
		p.w.work(ctx, d.between(time.Second, 3*leaseTTL))
		l.proc.unfreeze()
	case 3:
		strike(FaultHandover)
		l.stop()
		p.w.work(ctx, d.between(100*time.Millisecond, 5*time.Second))
		p.again(ctx)
	case 4:
		strike(FaultLeaseLost)
		_ = p.w.kv.Revoke(ctx, l.link.leaseOf()) // a dead one cannot be lost
	case 5:
		strike(FaultCut)
		l.proc.cutOff(time.Now().Add(d.between(time.Second, 2*leaseTTL)))
	}
}

// storm is one front of weather over a cloud.
func (s *site) storm(ctx context.Context, front int) {
	for n := 1; s.w.open(ctx); n++ {
		d := s.w.seed.dice("storm", s.conf.Name, strconv.Itoa(front), strconv.Itoa(n))
		s.w.work(ctx, d.between(time.Second, s.w.odds.pause))
		if !s.w.open(ctx) {
			return
		}
		switch d.below(10) {
		case 0:
			s.changeQuota(ctx, d)
			continue
		case 1, 2:
			s.deleteByHand(d)
			continue
		}
		f, last := s.draw(d)
		s.change(front, &f)
		s.w.work(ctx, last)
		s.change(front, nil)
	}
}

// changeQuota takes a part of the quota away for a while.
func (s *site) changeQuota(ctx context.Context, d *dice) {
	s.w.judge.table.strike(FaultQuotaChange, "cloud "+s.conf.Name)
	full := s.cloud.Config().Quota
	less := full
	less.Instances = full.Instances * int64(40+d.below(50)) / 100
	less.Cores = full.Cores * int64(50+d.below(50)) / 100
	s.cloud.SetQuota(less)
	s.w.work(ctx, d.between(10*time.Second, 2*time.Minute))
	s.cloud.SetQuota(full)
}

// deleteByHand is somebody who deletes one of our servers in the dashboard.
func (s *site) deleteByHand(d *dice) {
	id := s.w.judge.someServer(s.conf.Name, d)
	if id == "" {
		return
	}
	if err := s.cloud.DeleteServer(s.now(), id); err == nil {
		s.w.judge.table.strike(FaultByHand, "cloud "+s.conf.Name)
	}
}

// change makes a front bring another fault, or none.
func (s *site) change(front int, f *sim.Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.weather, front)
	if f != nil {
		s.weather[front] = *f
	}
	s.cloud.ClearFaults()
	for _, k := range slices.Sorted(maps.Keys(s.weather)) {
		s.cloud.AddFault(s.weather[k])
	}
}

// clear ends all weather.
func (s *site) clear() {
	s.change(0, nil)
	s.change(1, nil)
}

// draw chooses a fault and how long it lasts.
func (s *site) draw(d *dice) (sim.Fault, time.Duration) {
	short, long := d.between(time.Second, 20*time.Second), d.between(10*time.Second, time.Minute)
	few := 1 + d.below(4)
	call := []string{
		"POST /servers", "POST /servers", "DELETE /servers/{id}", "GET /servers/detail", "GET /servers/{id}",
		"compute", "network", "identity",
	}[d.below(8)]
	switch d.below(21) {
	case 0:
		return sim.Fault{Kind: sim.FaultStatus, On: call, Times: few}, long
	case 1:
		return sim.Fault{Kind: sim.FaultCut, On: call, Times: few}, long
	case 2:
		return sim.Fault{Kind: sim.FaultLostReply, On: call, Times: few}, long
	case 3:
		return sim.Fault{Kind: sim.FaultStatusAfter, On: call, Times: few}, long
	case 4:
		return sim.Fault{Kind: sim.FaultStatus, Status: 413 + 16*d.below(2), On: call, Times: few}, long
	case 5:
		return sim.Fault{Kind: sim.FaultStatus, Status: 429, RetryAfter: time.Duration(1+d.below(20)) * time.Second, On: call, Times: few}, short
	case 6:
		return sim.Fault{Kind: sim.FaultStatus, Status: 403, Body: bodyQuota, On: "POST /servers", Times: few}, long
	case 7:
		return sim.Fault{Kind: sim.FaultStatus, Status: 400, On: "POST /servers", Times: few}, long
	case 8:
		return sim.Fault{Kind: sim.FaultStatus, Status: 409, On: call, Times: few}, long
	case 9:
		return sim.Fault{Kind: sim.FaultStatus, Status: 403, On: call, Times: few}, long
	case 10:
		return sim.Fault{Kind: sim.FaultRevoke, Times: few}, short
	case 11:
		return sim.Fault{Kind: sim.FaultSlow, On: call, Delay: d.between(5*time.Second, 12*time.Minute), Times: few}, long
	case 12:
		return sim.Fault{Kind: sim.FaultServerError, Body: []string{bodyNoHost, bodyQuota, bodyOther}[d.below(3)], Times: 1 + d.below(12)}, long
	case 13:
		return sim.Fault{Kind: sim.FaultStuckBuild, Times: few}, long
	case 14:
		return sim.Fault{Kind: sim.FaultNoSSH, Times: few}, long
	case 15:
		return sim.Fault{Kind: sim.FaultVanish, Delay: d.between(time.Second, 2*time.Minute), Times: few}, long
	case 16:
		return sim.Fault{Kind: sim.FaultStuckDelete, Times: few}, long
	case 17:
		return sim.Fault{Kind: sim.FaultStaleList, Delay: d.between(5*time.Second, time.Minute)}, long
	case 18:
		return sim.Fault{Kind: sim.FaultZoneGone, Match: "az" + strconv.Itoa(1+d.below(2))}, long
	case 19:
		return sim.Fault{Kind: sim.FaultCellDown, Cell: d.below(2)}, long
	}
	return sim.Fault{Kind: sim.FaultCut}, long
}
