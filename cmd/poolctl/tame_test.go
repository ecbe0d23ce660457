package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"poold/pool"
	"poold/store/kv"
)

// Whatever a client, a node or a cloud has said, nothing of it is obeyed by the
// terminal of whoever reads the records, and programs read what was said.
func TestTerminalObeysNobody(t *testing.T) {
	const evil = "\x1b]0;gotcha\x07\x1b[2J\u009b31m\u202e\x7f\r"
	name, db, _ := prefix(t)
	value, err := json.Marshal(pool.Request{Labels: []string{"l" + evil}, MaxLifetime: "4h", Tenant: evil})
	if err != nil {
		t.Fatal(err)
	}
	failed := &pool.Node{
		ID: "n1", Provider: "p", Label: "l", State: pool.NodeFailed, Reason: "cloud" + evil, Evidence: "console" + evil,
		Timeline: []pool.Stamp{{State: pool.NodeFailed, By: pool.Launcher, Reason: "cloud" + evil}},
	}
	node, err := json.Marshal(failed)
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string][]byte{
		"/requests/ci/id" + evil: value, "/nodes/p/n1": node,
	} {
		if _, _, err := db.Commit(t.Context(), kv.Txn{Then: []kv.Op{kv.Put(name+key, value)}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range []string{
		"request list", "request list -o wide", "request list -o name", "request list -o json", "request list -o yaml",
		"list -o wide", "list -o json", "node show n1", "node show n1 -o json", "node show n1 -o yaml", "request-list",
		"request show ci/nothing" + evil,
	} {
		out, err := poolctl(t, append(strings.Split(args, " "), "--prefix", name)...)
		if err != nil {
			out += printable(err.Error())
		}
		if !strings.Contains(out, "gotcha") {
			t.Errorf("%.20s says nothing of it:\n%q", args, out)
		}
		if strings.ContainsFunc(out, obeyed) {
			t.Errorf("%.20s:\n%q", args, out)
		}
	}
	for format, decode := range map[string]func([]byte, any) error{"json": json.Unmarshal, "yaml": yaml.Unmarshal} {
		out, err := poolctl(t, "node", "show", "n1", "-o", format, "--prefix", name)
		var read struct{ Reason string }
		if err != nil || decode([]byte(out), &read) != nil || read.Reason != failed.Reason {
			t.Errorf("%v: read %q of %q", err, read.Reason, out)
		}
	}
}

// Text without anything in it that is obeyed stays as it is.
func TestPlainText(t *testing.T) {
	var out bytes.Buffer
	if n, err := fmt.Fprint(tame{&out}, "a\tä\n✓ \ufffd"); err != nil || n != out.Len() || out.String() != "a\tä\n✓ \ufffd" {
		t.Errorf("%d, %v: %q", n, err, out.String())
	}
}
