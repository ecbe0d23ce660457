package sim

import (
	"errors"
	"strings"

	"poold/cloud"
)

// classify says what a failed step means to poold.
func (s *step) classify(err error) *cloud.Error {
	f, is := errors.AsType[*CallError](err)
	if !is {
		return &cloud.Error{Kind: cloud.Unclassified, Op: s.what, Err: err}
	}
	return &cloud.Error{Kind: s.kind(f), Op: s.what, RetryAfter: f.RetryAfter, Err: f}
}

func (s *step) kind(f *CallError) cloud.Kind {
	switch f.Status {
	case 0:
		return s.unanswered()
	case statusBadRequest:
		if strings.Contains(f.Message, "availability zone is not available") {
			return cloud.Capacity
		}
		return cloud.Invalid
	case statusForbidden:
		return forbiddenKind(f)
	case statusUnauthorized:
		if s.call.Service == cloud.Identity {
			return cloud.Unauthorized
		}
		// The token is no longer good: nothing was done, and the next call
		// gets another token.
		return cloud.Transient
	case statusNotFound, statusGone:
		return cloud.NotFound
	case statusConflict:
		return conflictKind(f)
	case statusTooLarge, statusTooManyRequests:
		return cloud.RateLimited
	}
	if f.Status < statusInternalError {
		return cloud.Unclassified
	}
	return s.unanswered()
}

// unanswered is the kind of a failure that does not say whether it was done.
func (s *step) unanswered() cloud.Kind {
	if s.changes {
		return cloud.Ambiguous
	}
	return cloud.Transient
}

func forbiddenKind(f *CallError) cloud.Kind {
	said := f.Message + f.Body
	if strings.Contains(said, "Quota exceeded") || strings.Contains(said, "Maximum number of ports") {
		return cloud.Quota
	}
	return cloud.Unauthorized
}

func conflictKind(f *CallError) cloud.Kind {
	switch f.Type {
	case "OverQuota":
		return cloud.Quota
	case "IpAddressGenerationFailure":
		return cloud.Capacity
	}
	return cloud.Conflict
}

// faultKind says what the fault of a server means.
func faultKind(message string) cloud.Kind {
	for _, known := range []struct {
		text string
		kind cloud.Kind
	}{
		{"Quota exceeded", cloud.Quota},
		{"No valid host", cloud.Capacity},
		{"Exceeded maximum number of retries", cloud.Capacity},
		{"Binding failed for port", cloud.Transient},
		{"is not active", cloud.Invalid},
		{"is unacceptable", cloud.Invalid},
	} {
		if strings.Contains(message, known.text) {
			return known.kind
		}
	}
	return cloud.Unclassified
}
