package docs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sessionLimit is how long a document may take on a machine that has other things
// to do.
const sessionLimit = 8 * time.Minute

// optional are programs that are not everywhere; a document that uses one of them is
// left out where it is not there.
var optional = []string{
	"base64", "buildbot", "buildbot-worker", "curl", "etcdctl", "jq", "make", "python3", "ssh", "ssh-keygen", "ssh-keyscan", "/usr/sbin/sshd",
}

// session is what a document says, as a script.
type session struct {
	t    *testing.T
	d    *document
	dir  string // where the script is
	work string // where it begins
}

func newSession(t *testing.T, d *document) *session {
	t.Helper()
	s := &session{t: t, d: d, dir: t.ArtifactDir(), work: t.TempDir()}
	if d.inside {
		s.work = s.absolute("")
	}
	return s
}

// absolute is the name of a file of the repository for whoever is elsewhere.
func (s *session) absolute(name string) string {
	s.t.Helper()
	path, err := filepath.Abs(filepath.Join(root, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return path
}

// run does all that the document says.
func (s *session) run() {
	s.t.Helper()
	if s.uses("/usr/sbin/sshd") && !ruler(s.t) {
		s.t.Skip("sshd lets nobody in unless root started it")
	}
	for _, program := range optional {
		if _, err := exec.LookPath(program); err != nil && s.uses(program) {
			if os.Getenv("CI") == "true" {
				s.t.Fatal(err)
			}
			s.t.Skip(err)
		}
	}
	script := filepath.Join(s.dir, "script")
	if err := os.WriteFile(script, []byte(s.script()), 0o600); err != nil {
		s.t.Fatal(err)
	}
	output, err := s.bash(script)
	s.judge(output, err)
}

// ruler tells whether this is root, and not only in a namespace of its own.
func ruler(t *testing.T) bool {
	t.Helper()
	users, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	return os.Geteuid() == 0 && slices.Equal(strings.Fields(string(users)), []string{"0", "0", "4294967295"})
}

// uses tells whether a document runs a program.
func (s *session) uses(program string) bool {
	word := regexp.MustCompile(`(^|[\s;|&(])` + regexp.QuoteMeta(program) + `\s`)
	return slices.ContainsFunc(s.d.steps, func(p step) bool {
		_, shown := p.is("not run,")
		return !shown && slices.Contains([]string{"", "sh", "console"}, p.language) && word.MatchString(p.text)
	})
}

// marker is the line that is printed before a step.
func (s *session) marker(p step) string { return fmt.Sprintf("@@ %s:%d", s.d.name, p.line) }

const endMarker = "@@ end"

// prologue is what each script begins with. What a document says to end with Ctrl-C
// ends with the command "interrupt".
const prologue = `set -euo pipefail
exec </dev/null 2>&1
cd %q
background=
interrupt() {
	for p in $background; do kill "$p"; wait "$p" || true; done
	background=
}
`

// script is the document as a script of bash. It stops at the first command that
// fails, and its background ends with it.
func (s *session) script() string {
	var b strings.Builder
	fmt.Fprintf(&b, prologue, s.work)
	for i, p := range s.d.steps {
		fmt.Fprintf(&b, "printf '\\n%%s\\n' %q\n", s.marker(p))
		b.WriteString(s.code(i, p))
	}
	fmt.Fprintf(&b, "printf '\\n%%s\\n' %q\n", endMarker)
	return b.String()
}

// code is a step as commands.
func (s *session) code(i int, p step) string {
	commands := p.text
	if p.language == "console" {
		commands = typed(p.text)
	}
	file, isFile := p.is("file")
	_, shown := p.is("not run,")
	_, fails := p.is("fails")
	_, background := p.is("background")
	switch {
	case shown && p.language == "sh":
		return fmt.Sprintf("bash -n <<'@@'\n%s@@\n", commands)
	case shown:
		return ""
	case isFile:
		return fmt.Sprintf("mkdir -p \"$(dirname %q)\"\ncat > %q <<'@@'\n%s@@\n", file, file, commands)
	case p.language == "yaml":
		return fmt.Sprintf("cat > %q <<'@@'\n%s@@\npoold check -c %[1]q $([ ! -e secure.yaml ] || echo -s secure.yaml)\n", filepath.Join(s.dir, fmt.Sprint(i, ".yaml")), commands)
	case p.language == "text":
		return ""
	case fails:
		return fmt.Sprintf("set +e\n( set -e\n%s); outcome=$?\nset -e\n[ $outcome -ne 0 ] || { echo 'it should fail'; exit 1; }\n", commands)
	case background:
		return fmt.Sprintf("( %s) >%q 2>&1 &\nbackground=\"$! $background\"\n", alone(commands), filepath.Join(s.dir, fmt.Sprint(i, ".log")))
	}
	return commands
}

// alone is a command that takes the place of the shell that it is called in, so that
// a signal finds it.
func alone(command string) string {
	return regexp.MustCompile(`^((?:\w+=\S* )*)`).ReplaceAllString(command, "${1}exec ")
}

// bash runs a script, and ends whatever it has left.
func (s *session) bash(script string) (string, error) {
	s.t.Helper()
	out, err := os.Create(filepath.Join(s.dir, "output"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = out.Close() }() // it is read by name
	ctx, cancel := context.WithTimeoutCause(s.t.Context(), sessionLimit, fmt.Errorf("not over within %v", sessionLimit))
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", script)
	cmd.Stdout = out
	cmd.Env = s.environment(ctx)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err = cmd.Run()
	if ctx.Err() != nil {
		err = errors.Join(err, context.Cause(ctx))
	}
	s.endGroup(cmd.Process.Pid)
	text, readErr := os.ReadFile(out.Name())
	if readErr != nil {
		s.t.Fatal(readErr)
	}
	return string(text), err
}

// environment has the programs in its PATH, and a home of its own. Go finds there what
// it has built before.
func (s *session) environment(ctx context.Context) []string {
	s.t.Helper()
	env := append(os.Environ(), "EXAMPLES="+s.absolute("docs/examples"), "TESTDATA="+s.absolute("test/docs/testdata"), "HOME="+s.t.TempDir(), "PATH="+bin+":"+os.Getenv("PATH"), "PYTHONDONTWRITEBYTECODE=1")
	for _, name := range []string{"GOENV", "GOCACHE", "GOPATH", "GOMODCACHE"} {
		value, err := exec.CommandContext(ctx, "go", "env", name).Output()
		if err != nil {
			s.t.Fatal(err)
		}
		env = append(env, name+"="+strings.TrimSpace(string(value)))
	}
	return env
}

// endGroup ends the background of a script, and waits until all of it is gone, so
// that its ports are free.
func (s *session) endGroup(group int) {
	s.t.Helper()
	signal := syscall.SIGTERM
	for wait := time.Duration(0); syscall.Kill(-group, signal) == nil; wait += 100 * time.Millisecond {
		if wait > time.Minute {
			signal = syscall.SIGKILL
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// judge looks at what each step printed.
func (s *session) judge(output string, err error) {
	s.t.Helper()
	parts := map[string]string{}
	marker := ""
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "@@ ") {
			marker = strings.TrimSpace(line)
			line = ""
		}
		parts[marker] += line
	}
	if _, ended := parts[endMarker]; !ended || err != nil {
		s.t.Errorf("%s: %v\n%s%s", strings.TrimPrefix(marker, "@@ "), err, parts[marker], s.logs())
		return
	}
	for _, p := range s.d.steps {
		if fault := p.promised(parts[s.marker(p)]); fault != "" {
			s.t.Errorf("%s:%d: %s; it printed\n%s", s.d.name, p.line, fault, parts[s.marker(p)])
		}
	}
}

// promised says what a step should have printed and did not.
func (p step) promised(output string) string {
	for _, m := range p.marks {
		if (m.verb == "says" || m.verb == "fails") && !strings.Contains(output, m.rest) {
			return fmt.Sprintf("it does not say %q", m.rest)
		}
	}
	if p.language == "console" {
		if line := lacking(printed(p.text), output); line != "" {
			return fmt.Sprintf("it does not print %q there", line)
		}
	}
	return ""
}

// logs are the last lines of what ran in the background.
func (s *session) logs() string {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "*.log"))
	if err != nil {
		s.t.Fatal(err)
	}
	all := ""
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			s.t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		all += fmt.Sprintf("\n%s:\n%s", filepath.Base(file), strings.Join(lines[max(0, len(lines)-60):], "\n"))
	}
	return all
}
