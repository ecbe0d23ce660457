package launcher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/crypto/ssh"

	"poold/cloud"
	"poold/internal/sleep"
	"poold/pool"
)

const (
	// commandsMax is how many commands run on nodes at a time. Each holds a
	// connection for as long as it runs, and so none of the slots that
	// attempts at reaching share.
	commandsMax = 500
	// outputMax is how much a command may print; evidenceBytes of it are kept.
	outputMax = 1 << 20
	// lineMax is how much of a line of output is told as a reason.
	lineMax = 200

	// consolePause is between two looks at the console of a node, consolesMax
	// how many consoles are asked for at a time: other calls wait behind so
	// many at most.
	consolePause = 5 * time.Second
	consolesMax  = 2
	// consoleLines is how much of a console is looked at.
	consoleLines = 1000
)

// How readiness is missed. Another host key and a flood are final: another
// attempt would not help.
var (
	errHung         = errors.New("the ready-command did not end")
	errReadyTimeout = errors.New("not ready within the ready timeout")
	errOtherHostKey = errors.New("the node shows another host key than before, and nothing was sent to it")
	errFlood        = fmt.Errorf("the ready-command printed more than %d bytes", outputMax)
)

// Command is what is run on a node to learn whether it is ready.
type Command struct {
	Target

	User string
	// KeyFile has the private key to log in with.
	KeyFile string
	// HostKeys are those that the node may show, as [Reach] returned them.
	HostKeys []string
	Text     string
}

// Run runs a command on a node to its end, trying again until ctx ends if the
// node cannot be logged in to, or is lost. A nil error is exit status 0. The
// output is the end of what was printed, also with an error. It is safe for
// concurrent use.
type Run func(ctx context.Context, c Command) (output string, err error)

// checks tells whether nodes of a label have to do more than to answer.
func checks(ls *pool.LabelSpec) bool {
	return ls != nil && (ls.ReadyCommand != "" || ls.ReadyConsole != "")
}

// checkable returns an error if no node of a label could ever be found ready.
func (l *Launcher) checkable(ls *pool.LabelSpec) error {
	if ls.ReadyConsole != "" && l.console == nil {
		return &cloud.Error{Kind: cloud.Invalid, Op: "wait for ready-console", Err: errors.New("the driver shows no consoles")}
	}
	if ls.ReadyCommand == "" {
		return nil
	}
	_, err := readKey(ls.ReadyKeyFile)
	return err
}

// readKey reads a private key. No error shows any of it.
func readKey(file string) (ssh.Signer, error) {
	const op = "read the ready-key-file"
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, &cloud.Error{Kind: cloud.Invalid, Op: op, Err: err}
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, &cloud.Error{Kind: cloud.Invalid, Op: op, Err: fmt.Errorf("%s is no private key without a passphrase", file)}
	}
	return key, nil
}

// confirm waits until a node that is reachable is ready as its label says. It
// has what is left of boot, unless the label has a time of its own within
// launch.
func (l *Launcher) confirm(launch, boot context.Context, n *pool.Node, inst cloud.Instance, got *reached) pool.Kind {
	ls, ctx := l.labelSpec(n), boot
	if got.err = l.checkable(ls); got.err != nil {
		return failureOf(ctx, got.err)
	}
	if ls.ReadyTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(launch, ls.ReadyTimeout, errReadyTimeout)
		defer cancel()
	}
	if ls.ReadyCommand != "" {
		got.output, got.err = l.runner(ctx, Command{
			Target: Target{IP: got.ip, Port: n.Port, Type: n.Type}, User: n.Username,
			KeyFile: ls.ReadyKeyFile, HostKeys: got.hostKeys, Text: ls.ReadyCommand,
		})
	} else {
		got.output, got.err = l.awaitConsole(ctx, inst.ID, ls.ReadyConsole)
	}
	return failureOf(ctx, got.err)
}

// awaitConsole waits until a console matches, and returns its end as last seen.
func (l *Launcher) awaitConsole(ctx context.Context, id, pattern string) (string, error) {
	marker, err := regexp.Compile(pattern)
	if err != nil {
		return "", &cloud.Error{Kind: cloud.Invalid, Op: "wait for ready-console", Err: err}
	}
	seen := ""
	for {
		text, err := l.look(ctx, id)
		switch {
		case err == nil && marker.MatchString(text):
			return clip(text, evidenceBytes), nil
		case err == nil:
			// A copy: a part would hold the whole, of each node that is waited for.
			seen, err = clip(text, evidenceBytes), errors.New("the console does not match ready-console")
		case errors.Is(err, cloud.Invalid), errors.Is(err, cloud.Unauthorized):
			return seen, err
		}
		// A console that is not found may only not be there yet.
		if ended := sleep.For(ctx, max(consolePause, retryAfter(err))); ended != nil {
			return seen, fmt.Errorf("%w: %w", ended, err)
		}
	}
}

// look asks for a console when it is its turn.
func (l *Launcher) look(ctx context.Context, id string) (string, error) {
	if err := l.consoles.Acquire(ctx, 1); err != nil {
		return "", err
	}
	defer l.consoles.Release(1)
	ctx, cancel := call(ctx, cloud.LaneFinish)
	defer cancel()
	return l.console.Console(ctx, id, consoleLines)
}

// run is the default [Run].
func (d *dialer) run(ctx context.Context, c Command) (string, error) {
	key, err := readKey(c.KeyFile)
	if err != nil {
		return "", err
	}
	config := &ssh.ClientConfig{
		User: c.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, Timeout: attemptTimeout,
		HostKeyAlgorithms: slices.Concat(hostKeyTypes()...),
		HostKeyCallback: func(_ string, _ net.Addr, shown ssh.PublicKey) error {
			if !slices.Contains(c.HostKeys, keyLine(shown)) {
				return errOtherHostKey
			}
			return nil
		},
	}
	output := ""
	var why error
	for pause := attemptPauseMin; ; pause = min(2*pause, attemptPauseMax) {
		printed, err := d.runOnce(ctx, c, config)
		if printed != "" {
			output = printed
		}
		if err == nil || final(err) {
			return output, err
		}
		if ended := sleep.For(ctx, pause); ended != nil {
			if why != nil && !errors.Is(err, errHung) {
				err = why // this attempt may have been cut short
			}
			return output, fmt.Errorf("%w: %w", ended, err)
		}
		why = err
	}
}

// final tells whether another attempt at a command would not help.
func final(err error) bool {
	_, exited := errors.AsType[*exitError](err)
	return exited || errors.Is(err, errOtherHostKey) || errors.Is(err, errFlood)
}

// exitError is a command that ended by itself, and not well.
type exitError struct {
	status int
	last   string
}

func (e *exitError) Error() string {
	text := fmt.Sprintf("the ready-command ended with exit status %d", e.status)
	if e.last != "" {
		text += ": " + e.last
	}
	return text
}

// runOnce logs in and runs the command. To log in takes a slot as any attempt
// to reach does; to run takes none of those.
func (d *dialer) runOnce(ctx context.Context, c Command, config *ssh.ClientConfig) (string, error) {
	if err := d.commands.Acquire(ctx, 1); err != nil {
		return "", err
	}
	defer d.commands.Release(1)
	a := d.attempt(c.Target)
	var client *ssh.Client
	err := a.once(ctx, func(ctx context.Context) (err error) {
		client, err = a.login(ctx, config)
		return err
	})
	if err != nil {
		return "", err
	}
	defer hangUp(client)
	return execute(ctx, client, c.Text)
}

// login connects and proves who we are, after the node did. The connection
// outlives ctx.
func (a attempt) login(ctx context.Context, config *ssh.ClientConfig) (*ssh.Client, error) {
	conn, err := a.dial(ctx)
	if err != nil {
		return nil, err
	}
	keep := context.AfterFunc(ctx, func() { hangUp(conn) })
	c, channels, requests, err := ssh.NewClientConn(conn, a.address, config)
	if !keep() && err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		hangUp(conn)
		return nil, err
	}
	return ssh.NewClient(c, channels, requests), nil
}

// execute runs a command until it ends, or ctx does, or it prints too much.
func execute(ctx context.Context, client *ssh.Client, text string) (string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { hangUp(client) })()
	session, err := client.NewSession()
	if err != nil {
		return "", err
	}
	out := &tail{full: func() { cancel(errFlood) }}
	session.Stdout, session.Stderr = out, out
	err = session.Run(text)
	output := out.text()
	exit, exited := errors.AsType[*ssh.ExitError](err)
	switch {
	case errors.Is(context.Cause(ctx), errFlood):
		return output, errFlood
	case ctx.Err() != nil:
		return output, errHung
	case exited && exit.Signal() == "":
		return output, &exitError{exit.ExitStatus(), lastLine(output)}
	}
	// One that was killed was perhaps so by a reboot.
	return output, err
}

// tail keeps the end of what is written to it, and no more.
type tail struct {
	// full is called when more came than may.
	full func()

	mu      sync.Mutex // guards what follows; stdout and stderr are two writers
	kept    []byte
	written int
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.written += len(p)
	t.kept = append(t.kept, p[max(0, len(p)-evidenceBytes):]...)
	t.kept = slices.Delete(t.kept, 0, max(0, len(t.kept)-evidenceBytes))
	if t.written > outputMax {
		t.full()
		return 0, errFlood
	}
	return len(p), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return clip(string(bytes.TrimSpace(t.kept)), evidenceBytes)
}

// lastLine is the last line of an output, short enough for a reason.
func lastLine(output string) string {
	line := strings.TrimSpace(output[strings.LastIndexByte(output, '\n')+1:])
	return strings.ToValidUTF8(line[:min(len(line), lineMax)], "")
}

// shown tells whether a character of what a node printed is kept. Others than
// text would be the terminal's of whoever reads it.
func shown(r rune) bool {
	return r == '\n' || r == '\t' || r != unicode.ReplacementChar && !unicode.IsControl(r)
}
