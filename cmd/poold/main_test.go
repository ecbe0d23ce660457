package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCommand(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	good := file("good.yaml", "zookeeper-servers: [{host: z}]\n")
	bad := file("bad.yaml", "nonsense: 1\n")
	for _, c := range []struct{ line, out, err string }{
		{"check -c " + good, "note: " + good + ":1:1: zookeeper-servers", ""},
		{"check -c " + bad, "", bad + ":1:1: unknown key"},
		{"check -c " + good + " -s " + bad, "note: ", bad + ":1:1: unknown key"},
		{"check -c /none.yaml", "", "/none.yaml"},
		{"check --online -c " + good, "note: " + good + ":1:1: zookeeper-servers", ""},
		{"check --online -c " + bad, "", bad + ":1:1: unknown key"},
		{"check --online", "", "which configuration?"},
		{"check", "", "which configuration?"},
		{"", "", "which configuration?"},
		{"-c " + bad, "", "unknown key"},
		{"check extra -c " + good, "", "unknown command"},
		{"check -c " + good + " --log-level loud", "", "--log-level"},
		{"dev --only nonsense", "", "--only nonsense"},
		{"--version", "poold version ", ""},
	} {
		var out bytes.Buffer
		cmd := command()
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SetArgs(strings.Fields(c.line))
		text := ""
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			text = err.Error()
		}
		if !strings.HasPrefix(out.String(), c.out) || !strings.Contains(text, c.err) || (text == "") != (c.err == "") {
			t.Errorf("poold %s: printed %q, error %q; want %q, %q", c.line, out.String(), text, c.out, c.err)
		}
	}
}
