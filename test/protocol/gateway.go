package protocol

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// errTaken says that a key exists already.
var errTaken = errors.New("the key exists already")

// number is an integer of 64 bits, which the gateway writes as a string.
type number int64

// MarshalJSON writes the number as the gateway does.
func (n number) MarshalJSON() ([]byte, error) {
	return []byte(strconv.Quote(strconv.FormatInt(int64(n), 10))), nil
}

// UnmarshalJSON reads the number as the gateway writes it.
func (n *number) UnmarshalJSON(text []byte) error {
	v, err := strconv.ParseInt(string(bytes.Trim(text, `"`)), 10, 64)
	*n = number(v)
	return err
}

// item is a key and its value.
type item struct {
	Key            []byte `json:"key"` // encoding/json writes base64
	Value          []byte `json:"value"`
	CreateRevision number `json:"create_revision"`
}

// gateway is etcd spoken to in JSON.
type gateway struct{ url string }

// call does one call.
func (g gateway) call(ctx context.Context, path string, ask, answer any) error {
	body, err := json.Marshal(ask)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer func() { _ = response.Body.Close() }() // it is read to its end
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", path, response.Status, text)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("%s: %w: %s", path, err, text)
	}
	return nil
}

// grant makes a lease that lives for seconds.
func (g gateway) grant(ctx context.Context, seconds int) (number, error) {
	var answer struct{ ID number }
	err := g.call(ctx, "/v3/lease/grant", map[string]any{"TTL": seconds}, &answer)
	return answer.ID, err
}

// renew keeps a lease alive for its time to live once more.
func (g gateway) renew(ctx context.Context, lease number) error {
	var answer struct{ Result struct{ TTL number } }
	err := g.call(ctx, "/v3/lease/keepalive", map[string]any{"ID": lease}, &answer)
	if err == nil && answer.Result.TTL <= 0 {
		return fmt.Errorf("the lease %d is dead", lease)
	}
	return err
}

// revoke ends a lease, and its keys with it.
func (g gateway) revoke(ctx context.Context, lease number) error {
	return g.call(ctx, "/v3/lease/revoke", map[string]any{"ID": lease}, &struct{}{})
}

// create makes a key under a lease and returns its create_revision, or
// errTaken.
func (g gateway) create(ctx context.Context, key string, value []byte, lease number) (int64, error) {
	var answer struct {
		Header    struct{ Revision number }
		Succeeded bool
	}
	err := g.call(ctx, "/v3/kv/txn", map[string]any{
		"compare": []any{map[string]any{
			"key": []byte(key), "target": "CREATE", "result": "EQUAL", "create_revision": number(0),
		}},
		"success": []any{map[string]any{
			"request_put": map[string]any{"key": []byte(key), "value": value, "lease": lease},
		}},
	}, &answer)
	if err == nil && !answer.Succeeded {
		err = errTaken
	}
	return int64(answer.Header.Revision), err
}

// rewrite replaces a value and keeps the lease.
func (g gateway) rewrite(ctx context.Context, key string, value []byte) error {
	return g.call(ctx, "/v3/kv/put", map[string]any{
		"key": []byte(key), "value": value, "ignore_lease": true,
	}, &struct{}{})
}

// get reads a key; false if there is none.
func (g gateway) get(ctx context.Context, key string) (item, bool, error) {
	var answer struct{ KVs []item }
	err := g.call(ctx, "/v3/kv/range", map[string]any{"key": []byte(key)}, &answer)
	if err != nil || len(answer.KVs) == 0 {
		return item{}, false, err
	}
	return answer.KVs[0], true, nil
}

// remove deletes a key.
func (g gateway) remove(ctx context.Context, key string) error {
	var answer struct{ Deleted number }
	err := g.call(ctx, "/v3/kv/deleterange", map[string]any{"key": []byte(key)}, &answer)
	if err == nil && answer.Deleted != 1 {
		return fmt.Errorf("deleting %s deleted %d keys", base64.StdEncoding.EncodeToString([]byte(key)), answer.Deleted)
	}
	return err
}
