package openstack

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"poold/cloud"
)

// What real services say is understood. The answers were recorded from Zed.
func TestClassifyRecordedReplies(t *testing.T) {
	for _, c := range []struct {
		reply   string
		service cloud.Service
		want    cloud.Kind
	}{
		{"keystone-401", cloud.Identity, cloud.Unauthorized},
		{"nova-400-image", cloud.Compute, cloud.Invalid},
		{"nova-400-marker", cloud.Compute, cloud.Transient},
		{"nova-400-schema", cloud.Compute, cloud.Invalid},
		{"nova-401", cloud.Compute, cloud.Unauthorized},
		{"nova-403-policy", cloud.Compute, cloud.Unauthorized},
		{"nova-403-quota", cloud.Compute, cloud.Quota},
		{"nova-404", cloud.Compute, cloud.NotFound},
		{"nova-404-no-path", cloud.Compute, cloud.Unclassified},
		{"nova-409-building", cloud.Compute, cloud.Conflict},
		{"nova-429", cloud.Compute, cloud.RateLimited},
		{"neutron-404", cloud.Network, cloud.NotFound},
		{"neutron-404-port", cloud.Network, cloud.NotFound},
		{"neutron-409-quota", cloud.Network, cloud.Quota},
		{"glance-400-format", cloud.ImageService, cloud.Invalid},
		{"glance-403-owner", cloud.ImageService, cloud.Unauthorized},
		{"glance-403-protected", cloud.ImageService, cloud.Conflict},
		{"glance-404", cloud.ImageService, cloud.NotFound},
		{"glance-404-delete", cloud.ImageService, cloud.NotFound},
		{"glance-409-exists", cloud.ImageService, cloud.Conflict},
		{"glance-409-sent", cloud.ImageService, cloud.Conflict},
		{"cinder-404", cloud.Volume, cloud.NotFound},
	} {
		status, h, body := recorded(t, c.reply)
		p := plan{call: cloud.Call{Service: c.service}, changes: true}
		if got, _ := classify(p, status, h, body); got != c.want {
			t.Errorf("%s: got %s, want %s", c.reply, got, c.want)
		}
	}
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
		{"a redirect", cloud.Compute, false, 302, "", cloud.Unclassified},
	} {
		p := plan{call: cloud.Call{Service: c.service}, changes: c.changes}
		if got, _ := classify(p, c.status, http.Header{}, []byte(c.body)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestFaultKind(t *testing.T) {
	_, _, body := recorded(t, "nova-200-no-valid-host")
	var answer struct {
		Server server `json:"server"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]cloud.Kind{
		answer.Server.Fault.Message: cloud.Capacity,
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
