package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// block is how a block of commands of README.md is tested.
type block struct {
	// needs are programs that may be missing; where CI is true they may not.
	needs []string
	// shown says why the block is not run; what it names is checked then.
	shown string
	// check replaces the block if it is only shown.
	check string
	// says is what the block prints, among other things.
	says string
}

// blocks are all of them, by their first line.
func blocks() map[string]block {
	return map[string]block{
		"make demo    # poold with its own etcd and three simulated clouds": {
			shown: "it takes the default ports; the test runs the same on free ones", check: "make -n demo", says: "poold dev",
		},
		"make test    # every test that needs only Go": {
			shown: "it would run this test again", check: "make -n test", says: "scripts/test",
		},
		"export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=http://127.0.0.1:2379": {
			needs: []string{"etcdctl"}, says: `"state":"fulfilled"`,
		},
		"answer=$(go run ./cmd/poolctl request create --label ubuntu-noble --client me --id look --wait -o json)": {
			needs: []string{"ssh-keyscan"}, says: "]:10022 ssh-ed25519",
		},
		"etcd=http://127.0.0.1:2379": {needs: []string{"curl", "base64"}, says: `"state":"fulfilled"`},
		"go run ./cmd/poolctl request create --label ubuntu-noble --label ubuntu-noble --client me --id job-19 --wait": {
			says: "fulfilled",
		},
		"go run ./cmd/poolctl list":                  {says: "timeline"},
		"web=http://127.0.0.1:8005":                  {needs: []string{"curl"}, says: "poold_"},
		"go build -o bin/ ./cmd/poold ./cmd/poolctl": {},
		"OS_CLIENT_CONFIG_FILE=clouds.yaml bin/poold -c nodepool.yaml -s secure.yaml": {
			shown: "it needs a real cloud", check: "bin/poold --help", says: "--secure",
		},
	}
}

// Every command of README.md works, in the order in which it stands there.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	w, _ := startDemo(t)
	known := blocks()
	for _, script := range commandBlocks(string(text)) {
		first, _, _ := strings.Cut(script, "\n")
		b, found := known[first]
		if !found {
			t.Errorf("README.md has a block of commands that this test does not know:\n%s", script)
			continue
		}
		delete(known, first)
		t.Run(first, func(t *testing.T) { b.test(w.in(t), script) })
	}
	for first := range known {
		t.Errorf("README.md no longer has the block that begins with %q", first)
	}
}

// commandBlocks are the blocks of commands in a Markdown text; of a console
// only what is typed.
func commandBlocks(text string) []string {
	var found []string
	for _, m := range regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		switch m[1] {
		case "sh":
			found = append(found, m[2])
		case "console":
			typed := ""
			for line := range strings.Lines(m[2]) {
				if command, ok := strings.CutPrefix(line, "$ "); ok {
					typed += command
				}
			}
			found = append(found, typed)
		}
	}
	return found
}

// test runs a block in the repository, against the demo at its ports.
func (b block) test(w *world, script string) {
	w.t.Helper()
	for _, program := range b.needs {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "true" {
				w.t.Fatal(err)
			}
			w.t.Skip(err)
		}
	}
	if b.shown != "" {
		script = b.check
	}
	script = strings.ReplaceAll(script, "http://127.0.0.1:2379", w.etcd)
	script = strings.ReplaceAll(script, "http://127.0.0.1:8005", w.web)
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*answerLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "POOLD_ETCD="+w.etcd)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), b.says) {
		w.t.Errorf("%v; it should say %q\n%s\n%s", err, b.says, script, out)
	}
}

// Blocks are found whatever they show, and nothing else is.
func TestCommandBlocks(t *testing.T) {
	got := commandBlocks("text\n```sh\na\nb\n```\n```text\nno\n```\n```console\n$ c\nits output\n$ d\n```\n    indented\n")
	if strings.Join(got, "|") != "a\nb\n|c\nd\n" {
		t.Errorf("got %q", got)
	}
}
