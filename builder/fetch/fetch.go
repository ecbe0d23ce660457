package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"poold/internal/digest"
)

const (
	// maxRedirects is how many redirections are followed.
	maxRedirects = 5
	// worthwhile is what a connection must have brought for the next to be
	// tried at once.
	worthwhile = 1 << 20
	// stall is how long a server may be silent.
	stall = time.Minute
	// bufferSize is how much is read at once.
	bufferSize = 1 << 18
)

// Source is a file somewhere else.
type Source struct {
	URL string
	// Checksum is "ALGORITHM:HEX", the URL of a file of sums that names the
	// file, or "" if nobody knows it.
	Checksum string
}

// Origin is what the server said of a file, to ask by later whether it has
// another.
type Origin struct {
	URL          string `json:"url"`
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
	// Checksum is that of the file, as "ALGORITHM:HEX", "" if it is not known.
	Checksum string `json:"checksum,omitempty"`
}

// Client fetches. Make one with [New].
type Client struct {
	http  *http.Client
	stall time.Duration
}

// New makes a client that uses the proxy of the environment.
func New() *Client {
	// Compression would hide how long the file is.
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DisableCompression: true, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: stall, ResponseHeaderTimeout: stall, IdleConnTimeout: stall,
	}
	return &Client{stall: stall, http: &http.Client{Transport: transport, CheckRedirect: redirect}}
}

func redirect(to *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("redirected more than %d times", maxRedirects)
	case via[0].URL.Scheme == "https" && to.URL.Scheme != "https":
		return errors.New("redirected from https to " + to.URL.Scheme)
	}
	return nil
}

// Fetch brings the file to path. It tells log how it goes.
func (c *Client) Fetch(ctx context.Context, s Source, path string, log io.Writer) (Origin, error) {
	sum, err := c.checksum(ctx, s)
	if err != nil {
		return Origin{}, err
	}
	p := &partial{path: path, log: log}
	p.load(s.URL)
	for {
		before := p.size
		err := c.receive(ctx, s.URL, p)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return Origin{}, context.Cause(ctx)
		}
		if !errors.Is(err, errCut) || p.size-before < worthwhile {
			return Origin{}, err
		}
		p.tell("%v after %d bytes, going on", err, p.size)
	}
	if err := digest.Verify(ctx, path, sum.algorithm, sum.value); err != nil {
		return Origin{}, errors.Join(err, p.discard())
	}
	origin := p.origin
	origin.Checksum = sum.String()
	return origin, p.forget()
}

// Changed tells whether the source is, or may be, another file than the one
// that came from it.
func (c *Client) Changed(ctx context.Context, s Source, was Origin) (bool, error) {
	if s.URL != was.URL {
		return true, nil
	}
	if s.Checksum != "" {
		sum, err := c.checksum(ctx, s)
		return sum.String() != was.Checksum, err
	}
	if was.ETag == "" && was.LastModified == "" {
		return true, nil
	}
	if path, local := localPath(s.URL); local {
		now, err := originOf(s.URL, path)
		return now.ETag != was.ETag, err
	}
	return c.another(ctx, s.URL, was)
}

// another asks a server whether it has another file.
func (c *Client) another(ctx context.Context, from string, was Origin) (bool, error) {
	header, name, value := http.Header{}, "ETag", was.ETag
	if value != "" {
		header.Set("If-None-Match", value)
	} else {
		name, value = "Last-Modified", was.LastModified
		header.Set("If-Modified-Since", value)
	}
	response, err := c.ask(ctx, http.MethodHead, from, header)
	if err != nil {
		return false, err
	}
	defer response.Body.Close() //nolint:errcheck // it has none
	switch response.StatusCode {
	case http.StatusNotModified:
		return false, nil
	case http.StatusOK:
		// Not every server knows the condition.
		return response.Header.Get(name) != value, nil
	}
	return false, refused(response)
}

func (c *Client) ask(ctx context.Context, method, from string, header http.Header) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, from, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header = header
	request.Header.Set("User-Agent", "poold")
	return c.http.Do(request)
}

// refused is the error of an answer that is of no use.
func refused(r *http.Response) error {
	return fmt.Errorf("%s: %s", r.Request.URL.Redacted(), r.Status)
}

// errCut is the error of data that ended early.
var errCut = errors.New("the connection was cut")

// receive brings what is missing of the file, in one connection.
func (c *Client) receive(ctx context.Context, from string, p *partial) error {
	if path, local := localPath(from); local {
		return p.copyFile(from, path)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	header := http.Header{}
	if p.size > 0 {
		header.Set("Range", "bytes="+strconv.FormatInt(p.size, 10)+"-")
		header.Set("If-Range", p.validator())
	}
	response, err := c.ask(ctx, http.MethodGet, from, header)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	if whole, err := p.take(from, response); whole || err != nil {
		return err
	}
	silent := time.AfterFunc(c.stall, func() { cancel(fmt.Errorf("%w: no data for %s", errCut, c.stall)) })
	defer silent.Stop()
	err = p.write(watched{response.Body, func() { silent.Reset(c.stall) }})
	switch cause := context.Cause(ctx); {
	case err == nil:
		return nil
	case cause != nil:
		return cause
	}
	return err
}

// watched tells of each piece that is read.
type watched struct {
	io.Reader
	tell func()
}

// Read reads, and tells.
func (w watched) Read(b []byte) (int, error) {
	n, err := w.Reader.Read(b)
	if n > 0 {
		w.tell()
	}
	return n, err
}

// partial is a file that may not be complete.
type partial struct {
	path   string
	log    io.Writer
	origin Origin
	// size is how much of it there is, total how much there will be, -1 if
	// the server does not say.
	size, total int64
}

// note is what is kept beside a partial file.
type note struct {
	Origin

	Total int64 `json:"total"`
}

func (p *partial) notePath() string { return p.path + ".json" }

// load finds what an earlier call left of the file, if it can be used.
func (p *partial) load(from string) {
	var n note
	data, err := os.ReadFile(p.notePath())
	if err == nil {
		err = json.Unmarshal(data, &n)
	}
	info, statErr := os.Stat(p.path)
	if err != nil || statErr != nil || n.URL != from {
		return
	}
	p.origin, p.total = n.Origin, n.Total
	if p.validator() == "" {
		p.origin = Origin{}
		return
	}
	p.size = info.Size()
	p.tell("going on after %d bytes", p.size)
}

// Discard removes what is there of a file, unless it is a part of the one at a URL
// that Fetch would go on with.
func Discard(path, from string) error {
	p := &partial{path: path, log: io.Discard}
	if p.load(from); p.size > 0 {
		return nil
	}
	return p.discard()
}

// validator is what tells versions of the file apart. A weak tag does not.
func (p *partial) validator() string {
	if p.origin.ETag != "" && !strings.HasPrefix(p.origin.ETag, "W/") {
		return p.origin.ETag
	}
	return p.origin.LastModified
}

// take does what an answer asks for. It returns whether the file is whole.
func (p *partial) take(from string, r *http.Response) (bool, error) {
	switch {
	case r.StatusCode == http.StatusOK:
		return false, p.begin(from, r)
	case r.StatusCode == http.StatusPartialContent && p.size > 0:
		return false, p.proceed(r)
	case r.StatusCode == http.StatusRequestedRangeNotSatisfiable && p.size > 0:
		if p.total == p.size {
			return true, nil
		}
		// There is no more of it, and what is here is not what it was said to be.
		return false, errors.Join(refused(r), p.discard())
	}
	return false, refused(r)
}

// begin starts from nothing.
func (p *partial) begin(from string, r *http.Response) error {
	p.size, p.total = 0, r.ContentLength
	p.origin = Origin{URL: from, ETag: r.Header.Get("ETag"), LastModified: r.Header.Get("Last-Modified")}
	if err := os.WriteFile(p.path, nil, 0o644); err != nil { //nolint:gosec // as the builds are
		return err
	}
	data, err := json.Marshal(note{p.origin, p.total})
	if err != nil {
		return err
	}
	p.tell("%s has %d bytes", r.Request.URL.Redacted(), p.total)
	return os.WriteFile(p.notePath(), data, 0o600)
}

// proceed goes on where the file ends.
func (p *partial) proceed(r *http.Response) error {
	want := fmt.Sprintf("bytes %d-", p.size)
	if got := r.Header.Get("Content-Range"); !strings.HasPrefix(got, want) {
		return errors.Join(fmt.Errorf("asked for %s the server sent %q", strings.TrimSpace(want), got), p.discard())
	}
	return nil
}

// write appends what comes.
func (p *partial) write(data io.Reader) error {
	f, err := os.OpenFile(p.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	buffer := make([]byte, bufferSize)
	for err == nil {
		var n int
		n, err = data.Read(buffer)
		if _, writeErr := f.Write(buffer[:n]); writeErr != nil {
			return errors.Join(writeErr, f.Close())
		}
		p.size += int64(n)
	}
	closed := f.Close()
	switch {
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("%w: %w", errCut, err)
	case p.total >= 0 && p.size < p.total:
		return errCut
	case p.total >= 0 && p.size > p.total:
		return errors.Join(fmt.Errorf("the server sent %d bytes of %d", p.size, p.total), p.discard())
	}
	return closed
}

func (p *partial) tell(format string, args ...any) {
	_, _ = fmt.Fprintf(p.log, "poold: download: "+format+"\n", args...) // the log is a help, no more
}

// discard removes the file and what is known of it.
func (p *partial) discard() error {
	p.size, p.origin = 0, Origin{}
	return errors.Join(remove(p.path), remove(p.notePath()))
}

// forget removes the note about a file that is complete.
func (p *partial) forget() error { return remove(p.notePath()) }

func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// localPath returns the path of a URL of this machine.
func localPath(from string) (string, bool) {
	u, err := url.Parse(from)
	if err != nil || u.Scheme != "file" {
		return "", false
	}
	return filepath.FromSlash(u.Path), true
}

// originOf describes a file of this machine.
func originOf(from, path string) (Origin, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Origin{}, err
	}
	return Origin{URL: from, ETag: fmt.Sprintf("%d-%d", info.Size(), info.ModTime().UnixNano())}, nil
}

// copyFile takes a file of this machine.
func (p *partial) copyFile(from, path string) error {
	origin, err := originOf(from, path)
	if err != nil {
		return err
	}
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // it was only read
	out, err := os.Create(p.path)
	if err != nil {
		return err
	}
	p.origin = origin
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
