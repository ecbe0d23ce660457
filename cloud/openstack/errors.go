package openstack

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"poold/cloud"
)

// rule says what an answer means. The first rule that fits is taken.
type rule struct {
	status int
	// service is who must have said it; "" is anybody.
	service cloud.Service
	// text is in the body, in lower case; "" is any body.
	text string
	kind cloud.Kind
}

// rules is the table of refusals. A 404 counts as NotFound only in the words
// of the service itself: a proxy that has lost its way must not prove that a
// server is gone.
func rules() []rule {
	return []rule{
		{400, cloud.Compute, "quota exceeded", cloud.Quota},
		{400, cloud.Compute, "no fixed ip addresses available", cloud.Capacity},
		// It was there: other zones may do, and this one again later.
		{400, cloud.Compute, "availability zone is not available", cloud.Capacity},
		// The instance that the next page starts after is gone meanwhile.
		{400, cloud.Compute, "marker [", cloud.Transient},
		{400, "", "", cloud.Invalid},

		{401, "", "", cloud.Unauthorized},

		{403, "", "quota exceeded", cloud.Quota},
		{403, "", "exceeds quota", cloud.Quota},
		{403, "", "maximum number of ports exceeded", cloud.Quota},
		{403, cloud.ImageService, "is protected", cloud.Conflict},
		{403, "", "", cloud.Unauthorized},

		{404, cloud.Compute, `"itemnotfound"`, cloud.NotFound},
		{404, cloud.Volume, `"itemnotfound"`, cloud.NotFound},
		// Neutron has no such path: an extension that is not there says
		// nothing about the thing that was asked for.
		{404, cloud.Network, `"httpnotfound"`, cloud.Unclassified},
		{404, cloud.Network, `"externalgatewayforfloatingipnotfound"`, cloud.Invalid},
		{404, cloud.Network, `"neutronerror"`, cloud.NotFound},
		{404, cloud.ImageService, "no image found with id", cloud.NotFound},
		{404, cloud.ImageService, "failed to find image", cloud.NotFound},
		// Glance's words of a task.
		{404, cloud.ImageService, "task with the given id", cloud.NotFound},
		{404, cloud.Object, "the resource could not be found", cloud.NotFound},
		{404, "", "", cloud.Unclassified},

		{405, "", "", cloud.Invalid},
		{406, "", "", cloud.Invalid},

		{409, cloud.Network, `"overquota"`, cloud.Quota},
		{409, cloud.Network, `"ipaddressgenerationfailure"`, cloud.Capacity},
		{409, cloud.Network, `"externalipaddressexhausted"`, cloud.Capacity},
		{409, cloud.Compute, "multiple possible networks", cloud.Invalid},
		{409, "", "", cloud.Conflict},

		{410, cloud.ImageService, "", cloud.NotFound},
		{411, "", "", cloud.Invalid},

		{413, "", "quota", cloud.Quota},
		{413, "", "request entity too large", cloud.Invalid}, // a proxy's bound
		{413, cloud.ImageService, "", cloud.Invalid},
		{413, "", "", cloud.RateLimited},
		{415, "", "", cloud.Invalid},
		{422, "", "", cloud.Invalid},
		{429, "", "", cloud.RateLimited},
		{498, "", "", cloud.RateLimited},
	}
}

// faults is the table of what nova says about a server in status ERROR, in
// lower case.
func faults() []rule {
	return []rule{
		{text: "quota exceeded", kind: cloud.Quota},
		{text: "exceeds available quota", kind: cloud.Quota},
		{text: "exceeds allowed gigabytes quota", kind: cloud.Quota},
		{text: "exceeded for quota", kind: cloud.Quota},
		{text: "maximum number of ports exceeded", kind: cloud.Quota},
		{text: "no valid host", kind: cloud.Capacity},
		{text: "exceeded maximum number of retries", kind: cloud.Capacity},
		{text: "exhausted all hosts", kind: cloud.Capacity},
		{text: "insufficient compute resources", kind: cloud.Capacity},
		{text: "no fixed ip addresses available", kind: cloud.Capacity},
		{text: "no more ip addresses", kind: cloud.Capacity},
		{text: "flavor's disk is too small", kind: cloud.Invalid},
		{text: "flavor's memory is too small", kind: cloud.Invalid},
		{text: "is unacceptable", kind: cloud.Invalid},
		{text: "is not active", kind: cloud.Invalid},
		{text: "binding failed for port", kind: cloud.Transient},
		{text: "failed to allocate the network", kind: cloud.Transient},
		{text: "timed out", kind: cloud.Transient},
		{text: "messagingtimeout", kind: cloud.Transient},
		{text: "aborted", kind: cloud.Transient},
	}
}

// faultKind classifies the fault of a server.
func faultKind(text string) cloud.Kind {
	text = strings.ToLower(text)
	for _, r := range faults() {
		if strings.Contains(text, r.text) {
			return r.kind
		}
	}
	return cloud.Unclassified
}

// classify says what a status that is not success means, and how long the
// cloud asks to wait.
func classify(p plan, status int, h http.Header, body []byte) (cloud.Kind, time.Duration) {
	after := retryAfter(h)
	if status >= http.StatusInternalServerError || status == http.StatusRequestTimeout {
		if p.changes {
			return cloud.Ambiguous, after
		}
		return cloud.Transient, after
	}
	text := strings.ToLower(string(body))
	for _, r := range rules() {
		if r.status == status && (r.service == "" || r.service == p.call.Service) && strings.Contains(text, r.text) {
			return r.kind, after
		}
	}
	return cloud.Unclassified, after
}

// retryAfter reads Retry-After, which is seconds or a date. A date is measured
// against the cloud's own clock.
func retryAfter(h http.Header) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	until, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return max(0, until.Sub(now))
}

// statusError is what a service said no with.
type statusError struct {
	status    int
	message   string
	requestID string
	// unheard says that it was the check of the token, in front of the
	// service, that said no: the service has not heard of the request.
	unheard bool
}

func (e *statusError) Error() string {
	s := fmt.Sprintf("%d: %s", e.status, e.message)
	if e.requestID != "" {
		s += " (" + e.requestID + ")"
	}
	return s
}

// refusedToken tells the refusal of a token, which a new one may cure, from
// that of credentials.
func refusedToken(err error) bool {
	e, ok := errors.AsType[*statusError](err)
	return ok && e.status == http.StatusUnauthorized
}

// unheard tells a refusal before the service heard of the request. A service
// may also say 401 itself, when one that it needs refuses the token after it
// has begun; then it does not ask for one in keystone's name.
func unheard(err error) bool {
	e, ok := errors.AsType[*statusError](err)
	return ok && e.unheard
}

// refusal makes the error of an answer that is not success.
func refusal(r *request, resp *http.Response, body []byte) error {
	kind, after := classify(plan{call: r.name(), changes: r.changes}, resp.StatusCode, resp.Header, body)
	return &cloud.Error{
		Kind: kind, Op: r.what, RetryAfter: after,
		Err: &statusError{
			status: resp.StatusCode, message: message(body),
			requestID: resp.Header.Get("X-Openstack-Request-Id"),
			unheard:   strings.HasPrefix(strings.ToLower(resp.Header.Get("Www-Authenticate")), "keystone "),
		},
	}
}

// maxMessage bounds how much of a service's words goes into an error.
const maxMessage = 300

// message finds the words for a human in the body of an error. What nova
// quotes of the request is left out, since that includes the user data.
func message(body []byte) string {
	text := string(body)
	var wrapped map[string]struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &wrapped) == nil {
		for _, w := range wrapped {
			if w.Message != "" {
				text = w.Message
			}
		}
	}
	for _, quote := range []string{" Value: ", "On instance["} {
		text, _, _ = strings.Cut(text, quote)
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	return text
}
