package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"poold/pool"
	"poold/store/kv"
)

// commandTTL is how long a command waits for somebody to do it.
const commandTTL = 10 * time.Minute

// PutCommand creates a command under its ID, with a lease of ten minutes of
// its own, and returns its revision.
func (s *Store) PutCommand(ctx context.Context, c *pool.Command) (int64, error) {
	value, err := s.codec.commands.encode(c, s.writes())
	if err != nil {
		return 0, err
	}
	if c.ID == "" {
		return 0, errors.New("put a command: it has no id")
	}
	lease, _, err := s.kv.Grant(ctx, commandTTL)
	if err != nil {
		return 0, fmt.Errorf("put command %s: %w", c.ID, translate(err))
	}
	key := s.keys.command(c.ID)
	revision, err := s.settle(ctx, nil, kv.Txn{If: []kv.Cond{kv.Absent(key)}, Then: []kv.Op{kv.PutLeased(key, value, lease)}})
	if err != nil {
		return 0, fmt.Errorf("put command %s: %w", c.ID, err)
	}
	return revision, nil
}

// Command reads one command, linearizably.
func (s *Store) Command(ctx context.Context, id string) (*pool.Command, error) {
	key := s.keys.command(id)
	it, err := s.kv.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read command %s: %w", id, translate(err))
	}
	return s.codec.commands.decode(s.keys, s.keys.parse(key), it)
}
