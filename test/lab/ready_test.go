//go:build lab

package lab

import (
	"path/filepath"
	"strings"
	"testing"
)

// Guests that really boot are ready when a command on them says so, or their
// console does; one whose command fails is not, and what the command printed is
// kept. The lab needs "openstack kvm".
func TestReadyGuests(t *testing.T) {
	t.Parallel()
	guest := func(name string, k keys) keys {
		return label(name, with(keys{"flavor-name": "lab.kvm", "cloud-image": "kvm-image", "key-name": tenantKey}, k))
	}
	keyFile := filepath.Join(labDir(), "lab-key")
	s := start(t, provider("r1", keys{"cloud-images": []keys{{"name": "kvm-image", "username": "root"}}},
		pool("main", keys{
			"availability-zones": []string{"kvm"}, "networks": []string{"kvm-net"}, "host-key-checking": true,
		},
			guest("command", keys{"ready-command": "echo up; test $(id -u) = 0", "ready-key-file": keyFile, "ready-timeout": 900}),
			guest("console", keys{"ready-console": "END SSH HOST KEY KEYS"}),
			guest("broken", keys{"ready-command": "echo all is lost >&2; exit 7", "ready-key-file": keyFile}),
		)))
	command, console := s.ask(t, "command"), s.ask(t, "console")
	for _, r := range []*request{command, console} {
		within(t, r.served(t)[0], "10.99.0.0/24")
	}
	for _, n := range s.records(t) {
		t.Logf("%s is %s: %s", n.Label, n.State, n.Reason)
	}
	command.release(t)
	console.release(t)

	broken := s.ask(t, "broken")
	var failed record
	s.await(t, "a node fails", long, func() (string, bool) {
		all := s.failures(t)
		if len(all) == 0 {
			return "none has", false
		}
		failed = all[0]
		return "", true
	})
	broken.release(t)
	if failed.Label != "broken" || !strings.Contains(failed.Reason, "exit status 7: all is lost") || failed.Evidence != "all is lost" {
		t.Errorf("there failed %+v", failed)
	}
	s.expectFailures(t, "unreachable")
	s.retireAfterFailures(t)
}
