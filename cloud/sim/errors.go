package sim

import (
	"fmt"
	"time"
)

// CallError is how a call failed, as the service would say it.
type CallError struct {
	// Status is the HTTP status; 0 is a connection that was cut.
	Status int
	// Type is Neutron's name of the failure, "" for the other services.
	Type    string
	Message string
	// RetryAfter is how long the client should wait; 0 says nothing.
	RetryAfter time.Duration
	// Body replaces the usual body of the answer if it is not empty.
	Body string
}

// Error gives the status and the message.
func (e *CallError) Error() string {
	if e.Status == 0 {
		return "the connection was cut"
	}
	return fmt.Sprintf("HTTP %d: %s", e.Status, e.Message)
}

func failf(status int, format string, args ...any) *CallError {
	return &CallError{Status: status, Message: fmt.Sprintf(format, args...)}
}

func neutronf(status int, kind, format string, args ...any) *CallError {
	return &CallError{Status: status, Type: kind, Message: fmt.Sprintf(format, args...)}
}

// The HTTP statuses that are used here, where net/http is not.
const (
	statusBadRequest      = 400
	statusUnauthorized    = 401
	statusForbidden       = 403
	statusNotFound        = 404
	statusConflict        = 409
	statusGone            = 410
	statusTooLarge        = 413
	statusTooManyRequests = 429
	statusInternalError   = 500
	statusUnavailable     = 503
)
