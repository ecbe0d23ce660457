package pool

import (
	"fmt"
	"io"
)

// idAlphabet has 32 letters that are not confused with one another and that
// are legal in host names and etcd keys.
const idAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// The lengths of the ids that poold mints, in characters of five random bits.
const (
	nodeIDLen  = 12
	batchIDLen = 9
)

// NodeID identifies a node for ever; it is never used again.
type NodeID string

// NewNodeID mints a node id from a source of randomness.
func NewNodeID(random io.Reader) (NodeID, error) {
	s, err := newID(random, nodeIDLen)
	return NodeID(s), err
}

// NewBatchID mints the id of a batched create. It starts with a letter and
// leaves room for "-" and four digits within the 15 characters that Windows
// takes as a host name, because instances are called after it.
func NewBatchID(random io.Reader) (string, error) {
	s, err := newID(random, batchIDLen)
	return "p" + s, err
}

// NewID mints an id for records that are neither nodes nor batches.
func NewID(random io.Reader) (string, error) { return newID(random, nodeIDLen) }

func newID(random io.Reader, length int) (string, error) {
	b := make([]byte, length)
	if _, err := io.ReadFull(random, b); err != nil {
		return "", fmt.Errorf("mint an id: %w", err)
	}
	for i := range b {
		b[i] = idAlphabet[b[i]%32]
	}
	return string(b), nil
}

// InstanceName is the name of the k-th of n instances of a batch, counted
// from 1, as Nova's multi-create names them: a lone instance gets no suffix.
func InstanceName(batch string, k, n int) string {
	if n == 1 {
		return batch
	}
	return fmt.Sprintf("%s-%d", batch, k)
}
