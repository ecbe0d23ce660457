package daemon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"poold/config"
	"poold/operate"
	"poold/pool"
	"poold/web/login"
)

const (
	// tokensPause is the least time between two looks at the file of tokens, and
	// certificatePause that at the web server's certificate.
	tokensPause, certificatePause = time.Second, time.Minute
	// seenTime bounds the wait for this peer to see what was just done.
	seenTime = 5 * time.Second
)

// guard tells who asks on the web port, or is nil if nobody can say who he is.
func (d *Daemon) guard() (*login.Guard, error) {
	if d.cfg.Web.Tokens == "" && d.cfg.Web.TLS.CA == "" {
		return nil, nil //nolint:nilnil // nobody acts unless the configuration says so
	}
	g := login.New()
	g.Certificates = d.cfg.Web.TLS.CA != ""
	if d.cfg.Web.Tokens != "" {
		file := newFollowed(d.cfg.Web.Tokens, tokensPause, login.Parse)
		if _, err := file.get(); err != nil {
			return nil, err
		}
		g.Holders = func() []login.Holder {
			holders, err := file.get()
			if err != nil && file.news(err) {
				d.log.Error("nobody has a token: the file cannot be used", zap.Error(err))
			}
			return holders
		}
	}
	return g, nil
}

// operate does what somebody wants who may act on the pages, and waits until this
// peer sees it.
func (d *Daemon) operate(ctx context.Context, c pool.Command) error {
	view := d.view.Load()
	o := operate.Operator{
		Records: d.store, Now: time.Now,
		Read: func(context.Context) (*pool.Snapshot, error) {
			if !view.Synced() {
				return nil, fmt.Errorf("the records are not up to date: %w", pool.ErrUnavailable)
			}
			return view.Snapshot(), nil
		},
	}
	done, err := o.Do(ctx, c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, seenTime)
	defer cancel()
	if err := view.WaitFor(ctx, done.Revision); err != nil {
		d.log.Debug("what was done is not seen yet", zap.Error(err))
	}
	return nil
}

// webTLS is how the web port is encrypted.
func webTLS(files config.TLS, log *zap.Logger) (*tls.Config, error) {
	pair := newFollowed(files.Cert, certificatePause, func([]byte) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
		return &pair, err
	})
	first, err := pair.get()
	if err != nil {
		return nil, err
	}
	// The last pair that could be read goes on: the two files are not renewed at
	// the same moment.
	var last atomic.Pointer[tls.Certificate]
	last.Store(first)
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		now, err := pair.get()
		if err == nil {
			last.Store(now)
		} else if pair.news(err) {
			log.Error("web server's certificate not renewed", zap.Error(err))
		}
		return last.Load(), nil
	}
	if files.CA != "" {
		pem, err := os.ReadFile(files.CA)
		if err != nil {
			return nil, fmt.Errorf("read the authority of clients: %w", err)
		}
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("the authority of clients: no certificate in " + files.CA)
		}
		c.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return c, nil
}

// followed is what a file says, read again when it is asked for and the last look
// is a while ago.
type followed[T any] struct {
	name  string
	pause time.Duration
	parse func([]byte) (T, error)

	// mu guards what follows.
	mu     sync.Mutex
	looked time.Time
	is     T
	err    error
	// told is what was last said to be wrong.
	told string
}

func newFollowed[T any](name string, pause time.Duration, parse func([]byte) (T, error)) *followed[T] {
	return &followed[T]{name: name, pause: pause, parse: parse}
}

// get returns what the file says, or why it cannot be used.
func (f *followed[T]) get() (T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if !f.looked.IsZero() && now.Sub(f.looked) < f.pause {
		return f.is, f.err
	}
	f.looked = now
	text, err := os.ReadFile(f.name)
	if err == nil {
		f.is, err = f.parse(text)
	}
	f.err = nil
	if err != nil {
		var none T
		f.is, f.err = none, fmt.Errorf("%s: %w", f.name, err)
	}
	return f.is, f.err
}

// news tells whether an error is another one than was told before.
func (f *followed[T]) news(err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	known := f.told == err.Error()
	f.told = err.Error()
	return !known
}
