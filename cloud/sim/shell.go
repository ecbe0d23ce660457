package sim

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Ran is a command that was run on a server over SSH.
type Ran struct {
	User, Command string
	// Sent is how much it has printed so far.
	Sent int64
}

// Ran returns the commands that were run on a server, in the order in which
// they began. A command is made of these, with semicolons between:
//
//	echo TEXT   prints it
//	exit N      ends with that exit status
//	hang        never ends
//	flood       prints without end
//	drop        breaks the connection, the first time that it is run here
func (c *Cloud) Ran(id string) []Ran {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.servers[id]
	if s == nil {
		return nil
	}
	return slices.Clone(s.ran)
}

// Rekey changes the host keys of a server.
func (c *Cloud) Rekey(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.servers[id]; s != nil {
		s.rekeyed++
	}
}

func (c *Cloud) rekeyed(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.servers[id]; s != nil {
		return s.rekeyed
	}
	return 0
}

// admits tells whether a key lets its holder into a server.
func (c *Cloud) admits(id string, key ssh.PublicKey, now time.Time) bool {
	c.lock(now)
	defer c.mu.Unlock()
	s := c.servers[id]
	if s == nil || s.booted.IsZero() || now.Before(s.settled) {
		return false
	}
	known, _, _, _, err := ssh.ParseAuthorizedKey([]byte(c.keyPairs[s.spec.KeyName].PublicKey))
	return err == nil && bytes.Equal(known.Marshal(), key.Marshal())
}

// noteRun notes that a command is run, and returns its place.
func (c *Cloud) noteRun(id, user, command string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.servers[id]
	if s == nil {
		return 0
	}
	s.ran = append(s.ran, Ran{User: user, Command: command})
	return len(s.ran) - 1
}

func (c *Cloud) sent(id string, place, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.servers[id]; s != nil && place < len(s.ran) {
		s.ran[place].Sent += int64(n)
	}
}

// session runs what a client asks for, until the connection ends.
func (d *SSHD) session(id string, conn *ssh.ServerConn, channels <-chan ssh.NewChannel) {
	for asked := range channels {
		if asked.ChannelType() != "session" {
			_ = asked.Reject(ssh.UnknownChannelType, "only sessions are served")
			continue
		}
		channel, requests, err := asked.Accept()
		if err != nil {
			return
		}
		go d.serve(id, conn, channel, requests)
	}
}

// serve runs the first command that is asked for in a session.
func (d *SSHD) serve(id string, conn *ssh.ServerConn, channel ssh.Channel, requests <-chan *ssh.Request) {
	begun := false
	for r := range requests {
		var exec struct{ Command string }
		ok := !begun && r.Type == "exec" && ssh.Unmarshal(r.Payload, &exec) == nil
		_ = r.Reply(ok, nil)
		if ok {
			begun = true
			place := d.cloud.noteRun(id, conn.User(), exec.Command)
			go (&shell{d.cloud, id, place, conn, channel}).run(exec.Command)
		}
	}
}

// shell runs one command.
type shell struct {
	cloud   *Cloud
	id      string
	place   int
	conn    *ssh.ServerConn
	channel ssh.Channel
}

func (s *shell) run(command string) {
	status := uint32(0)
	for step := range strings.SplitSeq(command, ";") {
		var ended bool
		if status, ended = s.step(strings.TrimSpace(step)); ended {
			break
		}
	}
	_, _ = s.channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
	_ = s.channel.Close()
}

// step does one part of a command, and tells whether that ends it.
func (s *shell) step(step string) (status uint32, ended bool) {
	word, rest, _ := strings.Cut(step, " ")
	switch word {
	case "echo":
		return 0, s.print(rest+"\n") != nil
	case "exit":
		n, err := strconv.ParseUint(rest, 10, 8)
		if err != nil {
			return 2, true
		}
		return uint32(n), true
	case "hang":
		_ = s.conn.Wait()
		return 0, true
	case "flood":
		line := strings.Repeat("water ", 1000) + "\n"
		for s.print(line) == nil {
		}
		return 0, true
	case "drop":
		if s.place == 0 {
			_ = s.conn.Close()
			return 0, true
		}
		return 0, false
	}
	_ = s.print("sh: " + word + ": not found\n")
	return 127, true
}

func (s *shell) print(text string) error {
	n, err := io.WriteString(s.channel, text)
	s.cloud.sent(s.id, s.place, n)
	return err
}
