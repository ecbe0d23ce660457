//go:build lab

package lab

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"poold/test/proc"
)

const prefix = "/poold/v1/"

// etcd is the distribution's etcd as a process of its own, spoken to with
// etcdctl: what a CI system in any language could do.
type etcd struct {
	t       *testing.T
	url     string
	process *proc.Process
}

// startEtcd starts an empty one.
func startEtcd(t *testing.T, dir string) *etcd {
	t.Helper()
	ports := proc.FreePorts(t, 2)
	e := &etcd{t: t, url: proc.Loopback(ports[0])}
	e.process = proc.Start(t, dir, "etcd", exec.Command("etcd", "--name", "lab",
		"--data-dir", filepath.Join(dir, "etcd"),
		"--listen-client-urls", e.url, "--advertise-client-urls", e.url,
		"--listen-peer-urls", proc.Loopback(ports[1]), "--initial-advertise-peer-urls", proc.Loopback(ports[1]),
		"--initial-cluster", "lab="+proc.Loopback(ports[1])))
	proc.Await(t, "etcd answers", time.Minute, func() (string, bool) {
		out, err := e.command("endpoint", "health").CombinedOutput()
		return string(out), err == nil
	}, e.process)
	return e
}

// get is the value of a key below the prefix, empty if there is none.
func (e *etcd) get(key string) string {
	e.t.Helper()
	return strings.TrimSpace(e.run("get", "--print-value-only", prefix+key))
}

// request asks for nodes, under a lease, as docs/protocol.md tells CI systems.
func (e *etcd) request(id string, labels ...string) {
	e.t.Helper()
	var lease struct{ ID int64 }
	if err := json.Unmarshal([]byte(e.run("lease", "grant", "900", "-w", "json")), &lease); err != nil {
		e.t.Fatal(err)
	}
	value, err := json.Marshal(map[string]any{"v": 1, "labels": labels, "priority": 200, "accept": "auto"})
	if err != nil {
		e.t.Fatal(err)
	}
	e.run("put", "--lease", strconv.FormatInt(lease.ID, 16), prefix+"requests/lab/"+id, string(value))
}

// release gives all nodes of a request back.
func (e *etcd) release(id string) {
	e.t.Helper()
	if out := e.run("del", prefix+"requests/lab/"+id); strings.TrimSpace(out) != "1" {
		e.t.Fatalf("deleting the request %s: etcd says %q", id, out)
	}
}

// node is what an allocation tells a client about one node.
type node struct {
	ID          string `json:"id"`
	Label       string `json:"label"`
	Provider    string `json:"provider"`
	InterfaceIP string `json:"interface_ip"`
}

// allocation is the answer to a request; ok says whether it is fulfilled.
func (e *etcd) allocation(id string) (nodes []node, seen string, ok bool) {
	e.t.Helper()
	text := e.get("allocations/lab/" + id)
	if text == "" {
		return nil, "no allocation", false
	}
	var answer struct {
		State string `json:"state"`
		Error string `json:"error"`
		Nodes []node `json:"nodes"`
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		e.t.Fatalf("the allocation of %s: %v: %s", id, err, text)
	}
	if answer.State == "failed" {
		e.t.Fatalf("the request %s failed: %s", id, answer.Error)
	}
	return answer.Nodes, text, answer.State == "fulfilled"
}

// run runs etcdctl.
func (e *etcd) run(args ...string) string {
	e.t.Helper()
	var out, problems bytes.Buffer
	cmd := e.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		e.t.Fatal(fmt.Errorf("etcdctl %s: %w: %s", strings.Join(args, " "), err, &problems))
	}
	return out.String()
}

// command is etcdctl for this etcd.
func (e *etcd) command(args ...string) *exec.Cmd {
	return exec.Command("etcdctl", append([]string{"--endpoints", e.url}, args...)...)
}
