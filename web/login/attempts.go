package login

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// wrongTime is how long who shows a wrong token has to wait to be told so.
	wrongTime = time.Second
	// mostFrom is how many tokens may be tried from one address at once, and
	// mostTried from all.
	mostFrom, mostTried = 5, 50
)

// attempts are the tokens that are being tried. A right one takes no time, a wrong
// one a second, so that five a second can be guessed from one address, and who
// tries that there disturbs nobody elsewhere.
type attempts struct {
	// mu guards what follows.
	mu    sync.Mutex
	all   int
	whose map[netip.Prefix]int
}

// begin begins an attempt, unless there are too many. Release ends it.
func (a *attempts) begin(remote string) (release func(), ok bool) {
	from := network(remote)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all >= mostTried || a.whose[from] >= mostFrom {
		return nil, false
	}
	if a.whose == nil {
		a.whose = map[netip.Prefix]int{}
	}
	a.all++
	a.whose[from]++
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.all--
		if a.whose[from]--; a.whose[from] == 0 {
			delete(a.whose, from)
		}
	}, true
}

// network is what belongs to one machine: with IPv6 it has many addresses.
func network(remote string) netip.Prefix {
	const machine4, machine6 = 32, 64
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	addr, bits := at.Addr().Unmap().WithZone(""), machine4
	if addr.Is6() {
		bits = machine6
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
