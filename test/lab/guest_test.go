//go:build lab

package lab

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A guest that really boots is reached over its network, and the host keys that
// poold read there are those that the guest itself printed on its console. The
// lab needs "openstack kvm".
func TestRealGuest(t *testing.T) {
	t.Parallel()
	s := start(t, provider("r1", nil, pool("main", keys{
		"availability-zones": []string{"kvm"}, "networks": []string{"kvm-net"}, "host-key-checking": true,
	}, label("guest", keys{"flavor-name": "lab.kvm", "cloud-image": "kvm-image", "key-name": tenantKey, "console-log": true}))))
	r := s.ask(t, "guest")
	given := r.served(t)[0]
	within(t, given, "10.99.0.0/24")
	v := s.server(t, given)
	equal(t, "zone", v.Zone, "kvm")
	var console struct{ Output string }
	s.tenant.regions["r1"].must(t, http.MethodPost, compute, "/servers/"+v.ID+"/action",
		object{"os-getConsoleOutput": object{}}, &console)
	printed, read := printedKeys(console.Output), slices.Sorted(slices.Values(given.HostKeys))
	if len(printed) < 2 || !slices.Equal(printed, read) {
		t.Errorf("the guest printed the keys %q, poold read %q; its console:\n%s", printed, read, console.Output)
	}
	if err := given.Reach(t.Context()); err != nil {
		t.Error(err)
	}
	r.release(t)
	s.retire(t)
}

// printedKeys are the host keys on a console, between the lines that cloud-init
// prints around them, as "type base64". Others write on the console as well.
func printedKeys(console string) []string {
	_, rest, _ := strings.Cut(console, "-----BEGIN SSH HOST KEY KEYS-----")
	block, _, _ := strings.Cut(rest, "-----END SSH HOST KEY KEYS-----")
	found := regexp.MustCompile(`(ssh|ecdsa)-[a-z0-9-]+ [A-Za-z0-9+/=]{40,}`).FindAllString(block, -1)
	slices.Sort(found)
	return found
}
