package pool

import "errors"

// The conditions that every component distinguishes when it writes records.
// They are declared here, and not beside the store, so that components need
// not import it.
var (
	// ErrConflict says that a record changed since it was read: nothing was
	// written; read again and decide again.
	ErrConflict = errors.New("the record changed meanwhile")
	// ErrNotFound says that the record does not exist.
	ErrNotFound = errors.New("no such record")
	// ErrRefused says that an operator's command makes no sense as things are, and
	// that nothing was changed.
	ErrRefused = errors.New("refused")
	// ErrNotOwner says that the writer no longer owns what it writes to:
	// nothing was written, and nothing more may be done in that role.
	ErrNotOwner = errors.New("no longer the owner")
	// ErrUnavailable says that the store could not be reached: nothing was
	// written.
	ErrUnavailable = errors.New("the store is unavailable")
	// ErrUnknown says that the write may or may not have happened. The same
	// write, with the same ids, is repeated until its outcome is known.
	ErrUnknown = errors.New("the outcome of the write is unknown")
)
