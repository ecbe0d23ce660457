package openstack

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"poold/cloud"
	"poold/internal/golden"
)

// What real services say is understood: each answer that was recorded, as one
// to a call that reads and as one to a call that changes something, and each
// fault of a server. The golden file is the table to read.
func TestRecordedReplies(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "replies", "*.http"))
	if err != nil || len(files) == 0 {
		t.Fatal("no replies are recorded", err)
	}
	var table strings.Builder
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".http")
		status, h, body := recorded(t, name)
		if status == http.StatusOK {
			fmt.Fprintf(&table, "%-34s fault %s\n", name, faultKind(recordedFault(t, name)))
			continue
		}
		said, _, _ := strings.Cut(name, "-")
		read, after := classify(plan{call: cloud.Call{Service: speaker(said)}}, status, h, body)
		change, _ := classify(plan{call: cloud.Call{Service: speaker(said)}, changes: true}, status, h, body)
		fmt.Fprintf(&table, "%-34s read %s, change %s", name, read, change)
		if after > 0 {
			fmt.Fprintf(&table, ", after %v", after)
		}
		table.WriteString("\n")
	}
	golden.Equal(t, filepath.Join("testdata", "replies.golden"), table.String())
}

// speaker is the service that a recorded answer came from. What a proxy says
// it says of any service.
func speaker(name string) cloud.Service {
	return map[string]cloud.Service{
		"keystone": cloud.Identity, "nova": cloud.Compute, "neutron": cloud.Network,
		"glance": cloud.ImageService, "cinder": cloud.Volume,
		"nginx": cloud.Compute, "haproxy": cloud.Compute,
	}[name]
}

// recordedFault is the fault of a server that was recorded in status ERROR.
func recordedFault(t *testing.T, name string) string {
	t.Helper()
	_, _, body := recorded(t, name)
	var answer struct {
		Server server `json:"server"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Server.Fault.Message == "" {
		t.Fatalf("%s: there is no fault in it (%v)", name, err)
	}
	return answer.Server.Fault.Message
}

// Answers that the lab does not give, in the words of the services' source.
func TestClassifyOtherReplies(t *testing.T) {
	for _, c := range []struct {
		name    string
		service cloud.Service
		changes bool
		status  int
		body    string
		want    cloud.Kind
	}{
		{"a server error after a change was asked for", cloud.Compute, true, 500, "", cloud.Ambiguous},
		{"a gateway that gave up waiting for a change", cloud.Compute, true, 504, "", cloud.Ambiguous},
		{"a server error of a read", cloud.Compute, false, 503, "", cloud.Transient},
		{"a quota in the old style", cloud.Compute, true, 413, `{"overLimit": {"message": "Quota exceeded for cores"}}`, cloud.Quota},
		{"a rate limit in the old style", cloud.Compute, true, 413, `{"overLimit": {"message": "This request was rate-limited."}}`, cloud.RateLimited},
		{"swift's own rate limit", cloud.Object, true, 498, "", cloud.RateLimited},
		{"a refusal that only mentions quotas", cloud.Compute, false, 403, "Policy doesn't allow os_compute_api:os-quota-sets:show", cloud.Unauthorized},
		{"no address is left", cloud.Network, true, 409, `{"NeutronError": {"type": "IpAddressGenerationFailure"}}`, cloud.Capacity},
		{"an image beyond the quota", cloud.ImageService, true, 413, "Image storage quota exceeded", cloud.Quota},
		{"an image too large for a proxy", cloud.ImageService, true, 413, "<h1>413 Request Entity Too Large</h1>", cloud.Invalid},
		{"a proxy that has lost its backend's path", cloud.ImageService, true, 404, "The requested URL /v2/images was not found", cloud.Unclassified},
		{"a page too large for a proxy", cloud.Compute, true, 413, "<h1>413 Request Entity Too Large</h1>", cloud.Invalid},
		{"a redirect", cloud.Compute, false, 302, "", cloud.Unclassified},
	} {
		p := plan{call: cloud.Call{Service: c.service}, changes: c.changes}
		if got, _ := classify(p, c.status, http.Header{}, []byte(c.body)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestFaultKind(t *testing.T) {
	for text, want := range map[string]cloud.Kind{
		"Exceeded maximum number of retries. Exhausted all hosts available for retrying build failures":                     cloud.Capacity,
		"Build of instance x aborted: VolumeLimitExceeded: Maximum number of volumes allowed (10) exceeded: Quota exceeded": cloud.Quota,
		"Build of instance x aborted: Failed to allocate the network(s), not rescheduling.":                                 cloud.Transient,
		"Binding failed for port 7, please check neutron logs for more information.":                                        cloud.Transient,
		"Image x is unacceptable: Image too big":                                                                            cloud.Invalid,
		"something new":                                                                                                     cloud.Unclassified,
	} {
		if got := faultKind(text); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := "Sat, 21 Nov 2026 02:02:15 GMT"
	for _, c := range []struct {
		value, date string
		want        time.Duration
	}{
		{"7", "", 7 * time.Second},
		{" 7 ", "", 7 * time.Second},
		{"Sat, 21 Nov 2026 02:02:25 GMT", now, 10 * time.Second},
		{"Sat, 21 Nov 2026 02:02:05 GMT", now, 0},
		{"Sat, 21 Nov 2026 02:02:25 GMT", "", 0},
		{"-3", "", 0},
		{"99999999999999999999", "", 0},
		{"soon", now, 0},
	} {
		h := http.Header{"Retry-After": {c.value}, "Date": {c.date}}
		if got := retryAfter(h); got != c.want {
			t.Errorf("%q at %q: got %v, want %v", c.value, c.date, got, c.want)
		}
	}
}

// Nova quotes the whole request when it does not like it, user data included.
func TestMessageQuotesNoSecrets(t *testing.T) {
	_, _, body := recorded(t, "nova-400-schema")
	if !strings.Contains(string(body), "c2VjcmV0") {
		t.Fatal("the recorded answer quotes no user data")
	}
	got := message(body)
	if strings.Contains(got, "c2VjcmV0") || !strings.HasPrefix(got, "Invalid input for field/attribute server.") {
		t.Errorf("got %q", got)
	}
	if long := message([]byte(strings.Repeat("ü", maxMessage))); len(long) > maxMessage+len("…") {
		t.Errorf("a message has %d bytes", len(long))
	}
}

// What the table does not have is seen by whoever keeps it.
func TestAnAnswerNotUnderstoodIsLogged(t *testing.T) {
	newStub(t, "", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/compute/servers/") {
			replay(t, w, "nginx-404")
			return
		}
		replay(t, w, "nova-404")
	})
	core, logs := observer.New(zap.WarnLevel)
	d, err := Open(Config{Cloud: "sim", Installation: "ours", Gate: cloud.Open{}, Log: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	if _, err := d.Instance(t.Context(), "an-id"); cloud.KindOf(err) != cloud.Unclassified {
		t.Errorf("a proxy's own page means %v", err)
	}
	if n := logs.FilterMessage("answer not understood").Len(); n != 1 {
		t.Errorf("%d complaints about an answer that is not in the table, want 1", n)
	}
}
