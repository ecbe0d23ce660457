//go:build chaos || lab

package chaos

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"syscall"
	"time"

	"poold/test/proc"
)

// fault begins with a victim, and returns what ends it.
type fault func(victim int) (heal func() error)

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

// usualFaults are those of processes and of the ways between them.
func (s *Storm) usualFaults() map[string]fault {
	all := s.etcdFaults()
	maps.Copy(all, s.peerFaults())
	maps.Copy(all, s.wayFaults())
	return all
}

// etcdFaults are those of the members of etcd.
func (s *Storm) etcdFaults() map[string]fault {
	etcds := func(i int) *proc.Process { return s.etcd.Members[i].Process }
	return map[string]fault{
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
		"etcd member cut off from the others": func(i int) func() error { return part(s.etcdHosts[i], both, ips(s.etcdHosts)...) },
		"etcd member cut off from all": func(i int) func() error {
			return part(s.etcdHosts[i], both, append(ips(s.etcdHosts), append(ips(s.peerHosts), s.ip)...)...)
		},
		"etcd compacted": s.compact,
	}
}

// peerFaults are those of peers, and cuts between them and everybody else.
func (s *Storm) peerFaults() map[string]fault {
	etcds := func(i int) []string { return ipsOf(s.doors[i].etcd...) }
	return map[string]fault{
		"poold killed": func(i int) func() error {
			s.peers[i].Kill()
			return func() error { s.startPeer(i); return nil }
		},
		"poold told to stop": func(i int) func() error {
			err := syscall.Kill(s.peers[i].Pid(), syscall.SIGTERM)
			return func() error { s.peers[i].Terminate(); s.startPeer(i); return err }
		},
		"poold frozen":                      func(i int) func() error { return freeze(s.peers[i]) },
		"poold cut off from etcd":           func(i int) func() error { return part(s.peerHosts[i], both, etcds(i)...) },
		"poold cut off from one etcd":       func(i int) func() error { return part(s.peerHosts[i], both, etcds(i)[(i+1)%members]) },
		"poold hears nothing of etcd":       func(i int) func() error { return part(s.peerHosts[i], in, etcds(i)...) },
		"etcd hears nothing of poold":       func(i int) func() error { return part(s.peerHosts[i], out, etcds(i)...) },
		"poold cut off from the clouds":     func(i int) func() error { return part(s.peerHosts[i], both, s.doors[i].cloud.ip) },
		"poold hears nothing of the clouds": func(i int) func() error { return part(s.peerHosts[i], in, s.doors[i].cloud.ip) },
	}
}

// wayFaults are those that the network of the kernel cannot do.
func (s *Storm) wayFaults() map[string]fault {
	toEtcd := func(w weather) fault {
		return func(i int) func() error { return turned(w, s.doors[i].etcd...) }
	}
	toClouds := func(w weather) fault {
		return func(i int) func() error { return turned(w, s.doors[i].cloud) }
	}
	far, lossy := weather{delay: time.Second}, weather{breaks: 10}
	return map[string]fault{
		"etcd far from poold":               toEtcd(far),
		"poold loses connections to etcd":   toEtcd(lossy),
		"etcd half open":                    toEtcd(weather{silent: true}),
		"clouds far from poold":             toClouds(far),
		"poold loses connections to clouds": toClouds(lossy),
		"poold loses answers of clouds":     toClouds(weather{losses: 50}),
		"clouds half open":                  toClouds(weather{silent: true}),
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
func part(h host, to way, others ...string) func() error {
	err := h.cut(to, others...)
	return joined(func() error { return err }, h.heal)
}

// ips are the addresses of hosts.
func ips(hosts []host) []string {
	var all []string
	for _, h := range hosts {
		all = append(all, h.ip)
	}
	return all
}

// compact forgets what the recorder has seen. Of what it meant to compact, etcd
// may have less, or be away.
func (s *Storm) compact(int) func() error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	if _, err := s.recorder.etcd.Compact(ctx, s.recorder.at()); err != nil {
		s.t.Log(fmt.Errorf("not compacted: %w", err))
	}
	return func() error { return nil }
}
