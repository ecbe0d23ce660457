package openstackapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"poold/cloud"
	"poold/cloud/sim"
)

// Handler serves one or several clouds, each as a region. It is safe for
// concurrent use.
type Handler struct {
	regions    []*region
	now        func() time.Time
	operations map[cloud.Service]map[string]func(*request) (answer, error)
}

// region is one cloud with what its answers repeat.
type region struct {
	name  string
	cloud *sim.Cloud
}

// New returns a handler for clouds whose regions differ in name. The first
// one's credentials and tokens are Keystone's, for all of them.
func New(now func() time.Time, clouds ...*sim.Cloud) *Handler {
	h := &Handler{now: now, operations: map[cloud.Service]map[string]func(*request) (answer, error){
		cloud.Identity: identityOperations(), cloud.Compute: computeOperations(),
		cloud.ImageService: imageOperations(), cloud.Network: networkOperations(),
	}}
	for _, c := range clouds {
		h.regions = append(h.regions, &region{name: c.Config().Region, cloud: c})
	}
	return h
}

// request is a call that is being answered.
type request struct {
	*http.Request

	h      *Handler
	region *region
	base   string
	// path is what follows the service's version, without slashes around it.
	path  []string
	now   time.Time
	micro int
	// text is the body of a call that has JSON.
	text []byte
}

// answer is what is sent back.
type answer struct {
	status int
	// body is marshalled unless it is nil.
	body   any
	header map[string]string
	// data is sent as it is, if there is no body.
	data []byte
}

// operation is one call that a service knows.
type operation struct {
	// name is the method and the path template.
	name string
	do   func(r *request) (answer, error)
}

// ServeHTTP answers one call.
func (h *Handler) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r := &request{Request: req, h: h, now: h.now(), region: h.regions[0], base: "http://" + req.Host}
	if err := r.read(); err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	first, rest, _ := strings.Cut(strings.Trim(req.URL.Path, "/"), "/")
	switch first {
	case "":
		write(w, r, identityRoot(r))
	case "v3":
		if r.path = split(rest); len(r.path) == 0 {
			write(w, r, answer{status: http.StatusOK, body: map[string]any{"version": identityVersion(r)}})
			return
		}
		serve(w, r, cloud.Identity)
	case "sim":
		r.path = split(rest)
		serveSim(w, r)
	default:
		h.serveRegion(w, r, first, rest)
	}
}

// serveRegion answers a call to a service of a region.
func (h *Handler) serveRegion(w http.ResponseWriter, r *request, name, rest string) {
	at := slices.IndexFunc(h.regions, func(r *region) bool { return r.name == name })
	r.path = split(rest)
	if at < 0 || len(r.path) == 0 {
		http.NotFound(w, r.Request)
		return
	}
	r.region = h.regions[at]
	service := cloud.Service(r.path[0])
	r.path = r.path[1:]
	if string(service) == objectService {
		serveObjects(w, r)
		return
	}
	r.base += "/" + name + "/" + string(service)
	if len(r.path) <= 1 && r.Method == http.MethodGet {
		if a, known := discovery(r, service); known {
			write(w, r, a)
			return
		}
	}
	version := map[cloud.Service]string{cloud.Compute: "v2.1", cloud.ImageService: "v2", cloud.Network: "v2.0"}[service]
	if version == "" || len(r.path) == 0 || r.path[0] != version {
		http.NotFound(w, r.Request)
		return
	}
	r.path = r.path[1:]
	serve(w, r, service)
}

// serve finds the operation and does it.
func serve(w http.ResponseWriter, r *request, service cloud.Service) {
	op, found := r.route(service)
	if !found {
		nowhere := &sim.CallError{Status: http.StatusNotFound, Message: "The resource could not be found."}
		if service != cloud.Network {
			service = cloud.ImageService // the words are WebOb's, as Glance's are
		} else {
			nowhere.Type = "HTTPNotFound"
		}
		writeError(w, r, service, nowhere)
		return
	}
	perform(w, r, service, op)
}

// perform does an operation as the cloud's verdict says.
func perform(w http.ResponseWriter, r *request, service cloud.Service, op operation) {
	verdict := r.region.cloud.Begin(r.now, cloud.Call{Service: service, Operation: op.name}, r.names()...)
	if verdict.Before != nil {
		r.pause(verdict.Delay)
		writeError(w, r, service, verdict.Before)
		return
	}
	a, err := r.attempt(service, op)
	r.pause(verdict.Delay)
	switch {
	case verdict.After != nil:
		writeError(w, r, service, verdict.After)
	case err != nil:
		writeError(w, r, service, err)
	default:
		if service == cloud.Compute {
			setMicroversion(w, r)
		}
		write(w, r, a)
	}
}

// attempt checks the token and does an operation.
func (r *request) attempt(service cloud.Service, op operation) (answer, error) {
	if service == cloud.Compute {
		if err := r.negotiate(); err != nil {
			return answer{}, err
		}
	}
	if op.name != issueToken {
		if _, good := r.h.regions[0].cloud.TokenExpires(r.now, r.Header.Get("X-Auth-Token")); !good {
			return answer{}, &sim.CallError{
				Status: http.StatusUnauthorized, Message: "The request you have made requires authentication.",
			}
		}
	}
	return op.do(r)
}

// names are what faults match: the parts of the path, and the body.
func (r *request) names() []string {
	return append(slices.Clone(r.path), string(r.text))
}

// pause waits for as long as the answer is to take, or until nobody waits.
func (r *request) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), d)
	defer cancel()
	<-ctx.Done()
}

// read reads the body unless it is an image's data, or an object.
func (r *request) read() error {
	if strings.Contains(r.URL.Path, "/object-store/") || strings.HasSuffix(r.URL.Path, "/file") || strings.HasSuffix(r.URL.Path, "/stage") {
		return nil
	}
	var err error
	r.text, err = io.ReadAll(http.MaxBytesReader(nil, r.Body, 1<<20))
	return err
}

// decode reads JSON from the body.
func (r *request) decode(into any) error {
	if err := json.Unmarshal(r.text, into); err != nil {
		return &sim.CallError{Status: http.StatusBadRequest, Message: "Malformed request body"}
	}
	return nil
}

// route finds the operation of a path, whose second part is an id.
func (r *request) route(service cloud.Service) (operation, bool) {
	shape := r.Method
	for i, part := range r.path {
		if i == 1 && part != "detail" && part != "tokens" && r.path[0] != "info" {
			part = "{id}"
		}
		shape += "/" + part
	}
	shape = strings.TrimSuffix(shape, ".json")
	op := operation{name: strings.Replace(shape, "/", " /", 1), do: r.h.operations[service][shape]}
	return op, op.do != nil
}

func split(path string) []string {
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

func ok(body any) (answer, error) { return answer{status: http.StatusOK, body: body}, nil }

func write(w http.ResponseWriter, r *request, a answer) {
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	// The clock of the cloud, which is not always the machine's.
	w.Header().Set("Date", r.now.UTC().Format(http.TimeFormat))
	if a.body == nil {
		w.WriteHeader(a.status)
		_, _ = w.Write(a.data) // as below
		return
	}
	body, err := json.Marshal(a.body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.status)
	// Nobody is left to tell if the client went away.
	_, _ = w.Write(body)
}

// failure makes a CallError of any error.
func failure(err error) *sim.CallError {
	if f, is := errors.AsType[*sim.CallError](err); is {
		return f
	}
	return &sim.CallError{Status: http.StatusInternalServerError, Message: err.Error()}
}
