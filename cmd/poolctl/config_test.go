package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"poold/config"
)

// file writes a file of a test and returns its name.
func file(t *testing.T, name, text string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestEndpoints(t *testing.T) {
	cluster, inside := config.Etcd{Endpoints: []string{"c:1", "c:2"}}, config.Etcd{Embedded: "/var/lib/poold"}
	for _, c := range []struct {
		name, flag, variable string
		etcd                 config.Etcd
		want                 []string
	}{
		{name: "nothing is said", want: []string{defaultEtcd}},
		{name: "the environment", variable: "v:1,v:2", want: []string{"v:1", "v:2"}},
		{name: "the configuration wins over the environment", variable: "v:1", etcd: cluster, want: cluster.Endpoints},
		{name: "and so does an etcd inside poold", variable: "v:1", etcd: inside, want: []string{defaultEtcd}},
		{name: "the flag wins over all", flag: "f:1,f:2", variable: "v:1", etcd: cluster, want: []string{"f:1", "f:2"}},
	} {
		t.Setenv(etcdVariable, c.variable)
		e := env{etcd: c.flag}
		if got := e.endpoints(c.etcd); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// What -c says holds for every command, those of clients too.
func TestConfiguration(t *testing.T) {
	prefix, _, records := prefix(t)
	main := file(t, "nodepool.yaml", "etcd: {endpoints: ['"+endpoint+"'], prefix: "+prefix+"}\n")
	if out, err := bare(t, "-c", main, "request", "create", "--id", "1", "--label", "l"); err != nil {
		t.Fatalf("%q, %v", out, err)
	}
	if s, err := records.Read(t.Context()); err != nil || len(s.Requests) != 1 {
		t.Errorf("%d requests below the configured prefix, %v", len(s.Requests), err)
	}
	if out, err := bare(t, "-c", main, "request", "list", "-o", "name"); err != nil || out != "poolctl/1\n" {
		t.Errorf("printed %q, %v", out, err)
	}
	if out, err := bare(t, "-c", main, "--prefix", "/other", "request", "list", "-o", "name"); err != nil || out != "" {
		t.Errorf("another prefix: printed %q, %v", out, err)
	}
	away := file(t, "away.yaml", "etcd: {endpoints: ['http://127.0.0.1:1'], prefix: "+prefix+"}\n")
	if out, err := bare(t, "-c", away, "--etcd", endpoint, "request", "list", "-o", "name"); err != nil || out != "poolctl/1\n" {
		t.Errorf("another etcd: printed %q, %v", out, err)
	}
	if _, err := bare(t, "-c", main, "request", "delete", "poolctl/1"); err != nil {
		t.Error(err)
	}
}

func TestConfigurationIsRead(t *testing.T) {
	main := file(t, "nodepool.yaml", "etcd: {endpoints: ['"+endpoint+"'], tls: {ca: /none.pem}}\n")
	for line, want := range map[string]string{
		"-c " + main + " list":                        "read etcd's CA",
		"-c /none.yaml list":                          "read the configuration: open /none.yaml",
		"-c " + main + " -s /none.yaml list":          "read the configuration: open /none.yaml",
		"-c " + file(t, "x", "nonsense: 1") + " list": "nonsense",
	} {
		if _, err := bare(t, strings.Fields(line)...); err == nil || !strings.Contains(err.Error(), want) || exitCode(err) != exitFailed {
			t.Errorf("poolctl %s: %v, want %q and exit code %d", line, err, want, exitFailed)
		}
	}
	e := env{
		config: file(t, "user.yaml", "etcd: {endpoints: ['a:2379'], username: poold}\n"),
		secure: file(t, "secure.yaml", "etcd: {password: open-sesame}\n"),
	}
	if cfg, _, err := e.load(); err != nil || cfg.Etcd.Password.Reveal() != "open-sesame" {
		t.Errorf("the secure file is not used: %v", err)
	}
}

func TestConfigCheck(t *testing.T) {
	good := file(t, "good.yaml", "zookeeper-servers: [{host: z}]\nlabels: [{name: l}]\n")
	if out, err := bare(t, "config", "check", "-c", good); err != nil || !strings.HasPrefix(out, "note: "+good+":1:1: zookeeper-servers") {
		t.Errorf("printed %q, %v, want a note", out, err)
	}
	bad := file(t, "bad.yaml", "nonsense: 1\nlabels: [{name: l, min-ready: x}]\n")
	out, err := bare(t, "config", "check", "-c", bad)
	if exitCode(err) != exitFailed || !strings.HasPrefix(out, "note: ") ||
		!strings.Contains(err.Error(), bad+":1:1: ") || !strings.Contains(err.Error(), bad+":2:") {
		t.Errorf("printed %q, %v, want a note and both defects", out, err)
	}
}
