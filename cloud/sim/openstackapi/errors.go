package openstackapi

import (
	"fmt"
	"html"
	"net/http"
	"strconv"
	"strings"
	"time"

	"poold/cloud"
	"poold/cloud/sim"
)

// writeError answers as the service would, or cuts the connection.
func writeError(w http.ResponseWriter, r *request, service cloud.Service, err error) {
	f := failure(err)
	if f.Status == 0 {
		panic(http.ErrAbortHandler) // the server's own way of cutting a connection
	}
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter.Round(time.Second)/time.Second)))
	}
	if f.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Keystone uri="http://`+r.Host+`"`)
	}
	w.Header().Set("Date", r.now.UTC().Format(http.TimeFormat))
	if f.Body != "" {
		w.WriteHeader(f.Status)
		_, _ = w.Write([]byte(f.Body))
		return
	}
	if service == cloud.ImageService {
		writeWebOb(w, r, f)
		return
	}
	if service == cloud.Compute {
		setMicroversion(w, r)
	}
	write(w, r, answer{status: f.Status, body: errorBody(service, f)})
}

func errorBody(service cloud.Service, f *sim.CallError) any {
	type coded struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Title   string `json:"title,omitempty"`
	}
	switch {
	case service == cloud.Network && f.Type != "":
		return map[string]any{"NeutronError": map[string]string{"type": f.Type, "message": f.Message, "detail": ""}}
	case service == cloud.Compute && f.Status != http.StatusUnauthorized:
		return map[string]coded{computeFault(f.Status): {Code: f.Status, Message: f.Message}}
	}
	return map[string]coded{"error": {Code: f.Status, Message: f.Message, Title: http.StatusText(f.Status)}}
}

// computeFault is Nova's name for a status.
func computeFault(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "badRequest"
	case http.StatusForbidden:
		return "forbidden"
	case http.StatusNotFound:
		return "itemNotFound"
	case http.StatusConflict:
		return "conflictingRequest"
	case http.StatusRequestEntityTooLarge:
		return "overLimit"
	case http.StatusTooManyRequests:
		return "overLimit"
	case http.StatusServiceUnavailable:
		return "serviceUnavailable"
	}
	return "computeFault"
}

// writeWebOb fails as Glance does, and whatever has no route: in the form that
// the client accepts.
func writeWebOb(w http.ResponseWriter, r *request, f *sim.CallError) {
	title := http.StatusText(f.Status)
	status := fmt.Sprintf("%d %s", f.Status, title)
	text := html.EscapeString(f.Message) + "<br /><br />\n\n\n"
	switch accept := r.Header.Get("Accept"); {
	case strings.Contains(accept, "html"), strings.Contains(accept, "*/*"):
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		w.WriteHeader(f.Status)
		_, _ = fmt.Fprintf(w, "<html>\n <head>\n  <title>%s</title>\n </head>\n <body>\n  <h1>%s</h1>\n  %s\n </body>\n</html>",
			status, status, text)
	case accept == "application/json":
		write(w, r, answer{status: f.Status, body: map[string]string{"message": text, "code": status, "title": title}})
	default:
		w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
		w.WriteHeader(f.Status)
		_, _ = fmt.Fprintf(w, "%s\n\n%s\n\n   ", status, f.Message)
	}
}
