package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"poold/store/kv/etcdkv"
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

// A flag wins over the configuration, and that over the environment.
func TestSettings(t *testing.T) {
	const (
		cluster = "{endpoints: ['c:1', 'c:2'], username: poold, password: open-sesame, tls: {ca: c.pem}}"
		inside  = "{embedded: /var/lib/poold}"
	)
	type settings = etcdkv.Settings
	of := func(endpoints ...string) settings { return settings{Endpoints: endpoints} }
	theirs := settings{
		Endpoints: []string{"c:1", "c:2"}, Username: "poold", Password: "open-sesame", Files: etcdkv.TLSFiles{CA: "c.pem"},
	}
	for _, c := range []struct {
		name, flags, variable, etcd string
		want                        settings
	}{
		{name: "nothing is said", want: of(defaultEtcd)},
		{name: "the environment", variable: "v:1,v:2", want: settings{Endpoints: []string{"v:1", "v:2"}, Username: "env", Password: "secret"}},
		{name: "the configuration wins over the environment", variable: "v:1", etcd: cluster, want: theirs},
		{
			name: "and so does an etcd inside poold", variable: "v:1", etcd: inside,
			want: settings{Endpoints: []string{defaultEtcd}, Username: "env", Password: "secret"},
		},
		{
			name: "flags win over all", flags: "--etcd f:1,f:2 --etcd-cacert f.pem --etcd-cert f.crt --etcd-key f.key --etcd-user env",
			variable: "v:1", etcd: cluster,
			want: settings{
				Endpoints: []string{"f:1", "f:2"}, Username: "env", Password: "secret",
				Files: etcdkv.TLSFiles{CA: "f.pem", Cert: "f.crt", Key: "f.key"},
			},
		},
	} {
		t.Setenv(etcdkv.EndpointsVariable, c.variable)
		t.Setenv(etcdkv.UserVariable, "")
		t.Setenv(etcdkv.PasswordVariable, "")
		if c.variable != "" {
			t.Setenv(etcdkv.UserVariable, "env")
			t.Setenv(etcdkv.PasswordVariable, "secret")
		}
		var e env
		root := &cobra.Command{}
		e.flags(root)
		if err := root.ParseFlags(strings.Fields(c.flags)); err != nil {
			t.Fatal(err)
		}
		if c.etcd != "" {
			e.config = file(t, "nodepool.yaml", "etcd: "+c.etcd+"\n")
		}
		got, _, err := e.settings()
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
}

// Everybody on a machine can read what others call programs with.
func TestPasswordIsNoArgument(t *testing.T) {
	if _, err := bare(t, "list", "--etcd-user", "ci:secret"); exitCode(err) != exitUsage || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
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
