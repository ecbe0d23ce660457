package openstack

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"go.uber.org/zap"

	"poold/cloud"
)

// maxAnswer bounds what is decoded of one answer that is not a list of
// servers.
const maxAnswer = 32 << 20

// request is one call of a service.
type request struct {
	service cloud.Service
	// method and path name the call; "{id}" in the path stands for id.
	method, path, id string
	// container and object stand for what "{container}" and "{object}" in the
	// path do; an object's slashes stay.
	container, object string
	query             url.Values
	header            map[string]string
	// in is sent as JSON, unless it is nil, under contentType if there is one.
	in          any
	contentType string
	// data is sent instead of in: size bytes, once, with no bound of time but
	// the context's.
	data io.Reader
	size int64
	// byteRange asks for a part of an image, whose data is read with no bound
	// of time but the context's.
	byteRange string
	// what says what the call is for, as in "create servers".
	what string
	// changes tells a call that changes something in the cloud.
	changes bool
	// microversion is of the compute API; "" is the oldest, which every cloud
	// has.
	microversion string
}

func (r *request) name() cloud.Call {
	return cloud.Call{Service: r.service, Operation: r.method + " " + r.path}
}

// fail wraps the reason why a request was not even made, or an answer not
// understood.
func (r *request) fail(kind cloud.Kind, err error) error {
	return &cloud.Error{Kind: kind, Op: r.what, Err: err}
}

// validID keeps an id from being a path of its own: DELETE /servers/ is not
// what anybody meant.
func validID(id string) bool {
	strange := func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		return !letter && (r < '0' || r > '9') && r != '-' && r != '_'
	}
	return id != "" && !strings.ContainsFunc(id, strange)
}

// check refuses a path that would be another call than it says.
func (r *request) check() error {
	switch {
	case strings.Contains(r.path, "{id}") && !validID(r.id):
		return fmt.Errorf("%q is not an id", r.id)
	case strings.Contains(r.path, "{container}") && !validContainer(r.container):
		return fmt.Errorf("%q is no container", r.container)
	case strings.Contains(r.path, "{object}") && !validObject(r.object):
		return fmt.Errorf("%q is no object", r.object)
	}
	return nil
}

// target is the address of the request below that of its service.
func (r *request) target(base string) string {
	if r.service == cloud.Object && r.path == infoPath {
		base, _, _ = strings.Cut(base, "/v1") // it is beside all accounts
	}
	return base + strings.NewReplacer(
		"{id}", url.PathEscape(r.id), "{container}", url.PathEscape(r.container), "{object}", escapedObject(r.object),
	).Replace(r.path)
}

// call makes a request and decodes the answer into out, unless that is nil:
// then only the status counts. Its error is a *cloud.Error.
func (d *Driver) call(ctx context.Context, r request, out any) error {
	resp, err := d.send(ctx, r)
	if err != nil {
		return err
	}
	defer closeBody(resp.Body)
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return r.unread(err)
	}
	return nil
}

// unread is the error of an answer that says yes and cannot be read.
func (r *request) unread(err error) error {
	kind := cloud.Transient
	if r.changes {
		kind = cloud.Ambiguous
	}
	return r.fail(kind, fmt.Errorf("read the answer: %w", err))
}

// send makes a request and returns an answer of success, whose body the caller
// closes. A refused token is renewed, and the request made again with the new
// one, once (and once more for each reload meanwhile), if nothing can have been
// done: it changes nothing, or was refused before its service heard of it.
func (d *Driver) send(ctx context.Context, r request) (*http.Response, error) {
	if err := r.check(); err != nil {
		return nil, r.fail(cloud.Invalid, err)
	}
	var refused *session
	for {
		a := d.access()
		s, err := a.keystone.session(ctx, refused)
		switch {
		case err == nil:
		case d.replaced(a, err):
			continue
		default:
			return nil, named(r.what, err)
		}
		resp, err := a.sendAs(ctx, s, &r)
		if err == nil || !refusedToken(err) {
			return resp, err
		}
		if !r.nothingDone(err) {
			a.keystone.refuse(s)
			return nil, r.fail(cloud.Ambiguous, err)
		}
		if refused != nil && !d.replaced(a, err) {
			return nil, err
		}
		refused = s
	}
}

// nothingDone tells whether a request whose token was refused can be made
// again. Data is read once, and whether any of it arrived is not known.
func (r *request) nothingDone(refused error) bool {
	return r.data == nil && (!r.changes || unheard(refused))
}

// replaced tells whether credentials were refused that a reload has replaced
// meanwhile: then the new ones have not had their try.
func (d *Driver) replaced(a *access, err error) bool {
	return cloud.KindOf(err) == cloud.Unauthorized && d.access() != a
}

// sendAs makes a request with a token, once.
func (a *access) sendAs(ctx context.Context, s *session, r *request) (*http.Response, error) {
	req, err := a.build(ctx, s, r)
	if err != nil {
		return nil, err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, named(r.what, err)
	}
	if resp.StatusCode < http.StatusMultipleChoices {
		return resp, nil
	}
	defer closeBody(resp.Body)
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, r.unread(err) // it is in memory already
	}
	err = refusal(r, resp, body)
	if cloud.KindOf(err) == cloud.Unclassified {
		// Not in the table: whoever keeps the table should hear of it.
		a.keystone.log.Warn("answer not understood", zap.String("operation", r.name().Operation), zap.Error(err))
	}
	return nil, err
}

// build makes the HTTP request of r, with the plan that the transport needs.
func (a *access) build(ctx context.Context, s *session, r *request) (*http.Request, error) {
	base, err := s.endpoint(r.service)
	if err != nil {
		return nil, r.fail(cloud.Invalid, err)
	}
	target := r.target(base)
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	body, contentType, err := r.body()
	if err != nil {
		return nil, r.fail(cloud.Invalid, err)
	}
	p := plan{call: r.name(), changes: r.changes, timeout: a.settings.apiTimeout}
	if r.data != nil || r.byteRange != "" {
		p.timeout = 0
	}
	req, err := http.NewRequestWithContext(withPlan(ctx, p), r.method, target, body)
	if err != nil {
		return nil, r.fail(cloud.Invalid, err)
	}
	if r.data != nil {
		req.ContentLength = r.size
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("Accept", "application/json")
	if r.byteRange != "" {
		req.Header.Set("Accept", "application/octet-stream")
		req.Header.Set("Range", r.byteRange)
	}
	for key, value := range r.header {
		req.Header.Set(key, value)
	}
	req.Header.Set("X-Auth-Token", s.token)
	if r.microversion != "" {
		req.Header.Set("OpenStack-API-Version", "compute "+r.microversion)
	}
	return req, nil
}

func (r *request) body() (reader io.Reader, contentType string, err error) {
	switch {
	case r.data != nil && r.size == 0:
		return http.NoBody, "application/octet-stream", nil
	case r.data != nil:
		return kept(r.data), "application/octet-stream", nil
	case r.in != nil:
		b, err := json.Marshal(r.in)
		return bytes.NewReader(b), cmp.Or(r.contentType, "application/json"), err
	}
	return nil, "", nil
}

// kept keeps data from being closed by net/http. A file stays one that the
// kernel can send by itself.
func kept(data io.Reader) io.Reader {
	if file, ok := data.(*os.File); ok {
		return keptFile{file}
	}
	return io.NopCloser(data)
}

type keptFile struct{ *os.File }

// Close does nothing: who has opened the file closes it.
func (keptFile) Close() error { return nil }

// named says in an error what was tried.
func named(what string, err error) error {
	e, ok := errors.AsType[*cloud.Error](err)
	if !ok {
		return &cloud.Error{Kind: cloud.Unclassified, Op: what, Err: err}
	}
	c := *e
	if c.Op != "" {
		c.Err = &cloud.Error{Kind: e.Kind, Op: e.Op, RetryAfter: e.RetryAfter, Err: e.Err}
	}
	c.Op = what
	return &c
}

// next returns the query of the page after this one, or nil for the last. Only
// the query of a link is taken: behind a proxy its host is often wrong.
func next(href string) (url.Values, error) {
	if href == "" {
		return nil, nil //nolint:nilnil // no page and no error is the end of a list
	}
	u, err := url.Parse(href)
	if err != nil {
		return nil, fmt.Errorf("link to the next page: %w", err)
	}
	return u.Query(), nil
}

// link is one entry of the servers_links of a page, and the like.
type link struct {
	Rel  string `json:"rel"`
	Href string `json:"href"`
}

func nextLink(links []link) string {
	for _, l := range links {
		if l.Rel == "next" {
			return l.Href
		}
	}
	return ""
}

// maxPages bounds the pages of a list. A cloud that links them in a circle would
// be asked for ever.
const maxPages = 1000

// pages calls r for one page after the other. One page is decoded by decode,
// which returns the link to the next.
func (d *Driver) pages(ctx context.Context, r request, decode func(body io.Reader) (href string, err error)) error {
	left := int64(maxAnswers)
	for range maxPages {
		following, err := d.page(ctx, r, &left, decode)
		if err != nil || following == nil {
			return err
		}
		// A cloud that links a page to itself would be asked for ever.
		if following.Encode() == r.query.Encode() {
			return r.fail(cloud.Unclassified, errors.New("the next page is this page"))
		}
		r.query = following
	}
	return r.fail(cloud.Unclassified, errors.New("the list does not end"))
}

// page makes one call of a list, reads what is left of it at most, and returns
// the query of the next.
func (d *Driver) page(ctx context.Context, r request, left *int64, decode func(io.Reader) (string, error)) (url.Values, error) {
	resp, err := d.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer closeBody(resp.Body)
	body := &boundedBody{ReadCloser: resp.Body, left: *left}
	href, err := decode(body)
	*left = body.left
	if err != nil {
		return nil, r.unread(err)
	}
	following, err := next(href)
	if err != nil {
		return nil, r.fail(cloud.Unclassified, err)
	}
	return following, nil
}
