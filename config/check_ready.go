package config

import (
	"regexp"
	"strings"
)

// checkReady checks what says that a node of a label is ready.
func (c *checker) checkReady(p *provider, in *providerPool, l *poolLabel) {
	if l.readyCommand.given() && l.readyConsole.given() {
		c.errorf(l.at, "give ready-command or ready-console, not both")
	}
	if l.readyCommand.set {
		c.checkReadyCommand(p, in, l)
	}
	c.checkReadyKey(l)
	if l.readyConsole.set {
		c.checkReadyConsole(l.readyConsole)
	}
	switch {
	case !l.readyTimeout.set:
	case !l.readyCommand.given() && !l.readyConsole.given():
		c.notef(l.readyTimeout.at, "has no effect without ready-command or ready-console")
	case l.readyTimeout.v > p.launchTimeout.v:
		c.notef(l.readyTimeout.at, "is longer than the launch-timeout of the provider, which ends it")
	}
}

// checkReadyCommand checks that a command can be run: there is somebody to log
// in as, with a key, over SSH, and host keys that say who answers.
func (c *checker) checkReadyCommand(p *provider, in *providerPool, l *poolLabel) {
	at := l.readyCommand.at
	if strings.TrimSpace(l.readyCommand.v) == "" {
		c.errorf(at, "the command is empty")
	}
	if !l.readyKeyFile.given() {
		c.errorf(at, "needs a ready-key-file to log in with")
	}
	checking := in.hostKeyChecking.v
	if l.hostKeyChecking.set {
		checking = l.hostKeyChecking.v
	}
	if !checking {
		c.errorf(at, "needs host-key-checking: nothing is said to a node that is not known")
	}
	user, kind, found := c.login(p, l)
	if !found {
		return // what is wrong with the image is said there
	}
	if user == "" {
		c.errorf(at, "the image has no username to log in as")
	}
	if kind != "ssh" && kind != "network_cli" {
		c.errorf(at, "the connection-type of the image is %s, not ssh or network_cli", at.quote(kind))
	}
}

func (c *checker) checkReadyKey(l *poolLabel) {
	switch file := l.readyKeyFile; {
	case !file.set:
	case file.v == "":
		c.errorf(file.at, "the name is empty")
	case strings.ContainsAny(file.v, "\r\n") || strings.Contains(file.v, "PRIVATE KEY"):
		// It may be the key itself: it is not shown.
		c.errorf(file.at, "is not the name of a file")
	case !l.readyCommand.given():
		c.notef(file.at, "has no effect without ready-command")
	}
}

// login returns whom to log in as on a label's nodes, and how; false if its
// image is not known.
func (c *checker) login(p *provider, l *poolLabel) (user, kind string, found bool) {
	for i := range p.images {
		if d := c.doc.image(l.image.v); l.image.set && d != nil && p.images[i].name.v == l.image.v {
			user = nearest(c.doc.chain(d), func(d *diskimage) *value[string] { return &d.username })
			return user, p.images[i].connectionType.v, true
		}
	}
	for i := range p.cloudImages {
		if im := &p.cloudImages[i]; l.cloudImage.set && im.name.v == l.cloudImage.v {
			return im.username.v, im.connectionType.v, true
		}
	}
	return "", "", false
}

func (c *checker) checkReadyConsole(pattern value[string]) {
	re, err := regexp.Compile(pattern.v)
	switch {
	case err != nil:
		c.errorf(pattern.at, "is not a regular expression: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	case re.MatchString(""):
		c.errorf(pattern.at, "matches a console that shows nothing: every node would be ready")
	}
}
