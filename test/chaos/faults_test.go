//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"time"

	"poold/cloud/sim"
	"poold/test/proc"
)

// fault begins with a victim, and returns what ends it.
type fault func(victim int) (heal func() error)

// The weather of some faults.
var (
	far   = weather{delay: time.Second}
	lossy = weather{breaks: 10}
)

// side is what a fault strikes; two at once strike two sides.
func side(name string) string {
	switch {
	case strings.HasPrefix(name, "etcd member"), strings.HasPrefix(name, "all of etcd"), name == "etcd compacted":
		return "etcd"
	case strings.Contains(name, "poold"), strings.Contains(name, "half open"):
		return "poold"
	}
	return "cloud"
}

// faults are all kinds of them.
func (s *storm) faults() map[string]fault {
	etcds := func(i int) *proc.Process { return s.etcd.Members[i].Process }
	peers := func(i int) *proc.Process { return s.peers[i] }
	return map[string]fault{
		"poold killed": func(i int) func() error {
			s.peers[i].Kill()
			return func() error { s.startPeer(i); return nil }
		},
		"poold started with another clock": func(i int) func() error {
			s.peers[i].Kill()
			s.offsets[i] = wrongClock * time.Duration(s.random.IntN(3)-1)
			return func() error { s.startPeer(i); return nil }
		},
		"poold frozen": func(i int) func() error { return freeze(peers(i)) },
		"etcd member killed": func(i int) func() error {
			etcds(i).Kill()
			return func() error { s.etcd.Start(i); return nil }
		},
		"etcd member frozen": func(i int) func() error { return freeze(etcds(i)) },
		"all of etcd killed": func(int) func() error {
			for i := range members {
				etcds(i).Kill()
			}
			return func() error {
				for i := range members {
					s.etcd.Start(i)
				}
				return nil
			}
		},
		"poold cut off from etcd": func(i int) func() error { return s.part(s.peerHosts[i], both, ipsOf(s.doors[i].etcd...)...) },
		"poold cut off from one etcd": func(i int) func() error {
			return s.part(s.peerHosts[i], both, s.doors[i].etcd[(i+1)%members].ip)
		},
		"poold hears nothing of etcd":         func(i int) func() error { return s.part(s.peerHosts[i], in, ipsOf(s.doors[i].etcd...)...) },
		"etcd hears nothing of poold":         func(i int) func() error { return s.part(s.peerHosts[i], out, ipsOf(s.doors[i].etcd...)...) },
		"poold cut off from the clouds":       func(i int) func() error { return s.part(s.peerHosts[i], both, s.doors[i].cloud.ip) },
		"poold hears nothing of the clouds":   func(i int) func() error { return s.part(s.peerHosts[i], in, s.doors[i].cloud.ip) },
		"etcd member cut off from the others": func(i int) func() error { return s.part(s.etcdHosts[i], both, s.ips(s.etcdHosts)...) },
		"etcd member cut off from all": func(i int) func() error {
			return s.part(s.etcdHosts[i], both, append(s.ips(s.etcdHosts), append(s.ips(s.peerHosts), s.ip)...)...)
		},
		"etcd far from poold":               func(i int) func() error { return turned(far, s.doors[i].etcd...) },
		"poold loses connections to etcd":   func(i int) func() error { return turned(lossy, s.doors[i].etcd...) },
		"etcd half open":                    func(i int) func() error { return turned(weather{silent: true}, s.doors[i].etcd...) },
		"clouds far from poold":             func(i int) func() error { return turned(far, s.doors[i].cloud) },
		"poold loses connections to clouds": func(i int) func() error { return turned(lossy, s.doors[i].cloud) },
		"clouds half open":                  func(i int) func() error { return turned(weather{silent: true}, s.doors[i].cloud) },
		"etcd compacted":                    s.compact,
		"429 storm":                         s.cloudFault(sim.Fault{Kind: sim.FaultStatus, Status: http.StatusTooManyRequests, RetryAfter: time.Second}),
		"cloud away":                        s.cloudFault(sim.Fault{Kind: sim.FaultCut}),
		"replies lost":                      s.cloudFault(sim.Fault{Kind: sim.FaultLostReply, Percent: 50}),
		"cloud slow":                        s.cloudFault(sim.Fault{Kind: sim.FaultSlow, Delay: 3 * time.Second}),
		"cell gone from view":               s.cloudFault(sim.Fault{Kind: sim.FaultCellDown, Cell: 1}),
		"tokens revoked":                    s.cloudFault(sim.Fault{Kind: sim.FaultRevoke, Percent: 10}),
	}
}

// freeze stops a process.
func freeze(p *proc.Process) func() error {
	pid := p.Pid()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return func() error { return err }
	}
	return func() error { return syscall.Kill(pid, syscall.SIGCONT) }
}

// part cuts a host off.
func (s *storm) part(h host, to way, others ...string) func() error {
	err := h.cut(to, others...)
	return joined(func() error { return err }, h.heal)
}

func (s *storm) ips(hosts []host) []string {
	var ips []string
	for _, h := range hosts {
		ips = append(ips, h.ip)
	}
	return ips
}

// compact forgets what the recorder has seen. Of what it meant to compact, etcd
// may have less, or be away.
func (s *storm) compact(int) func() error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	if _, err := s.recorder.etcd.Compact(ctx, s.recorder.at()); err != nil {
		s.t.Log(fmt.Errorf("not compacted: %w", err))
	}
	return func() error { return nil }
}

// cloudFault is a fault of one cloud.
func (s *storm) cloudFault(f sim.Fault) fault {
	return func(i int) func() error {
		s.clouds[i%regions].AddFault(f)
		return func() error {
			s.clouds[i%regions].ClearFaults()
			return nil
		}
	}
}
