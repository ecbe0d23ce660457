package openstack

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"regexp"
	"sync/atomic"

	"go.uber.org/zap"

	"poold/cloud"
)

// maxTraced bounds what is logged of one body.
const maxTraced = 16 << 10

// hidden stands for what is secret, or may be.
const hidden = "<secret>"

// secretKey finds the keys of JSON whose values are not logged. What users pass
// to servers may hold anything.
var secretKey = regexp.MustCompile(`(?i)pass|secret|token|credential|private|user_?data|personality|content|^key$|auth`)

// trace logs calls, for the operators of a cloud to see what happened. A nil
// trace logs nothing.
type trace struct {
	log *zap.Logger
	// calls counts them: a request and its answer have one number.
	calls atomic.Int64
}

// sent logs a request, and returns its number. Only headers that are known to be
// harmless are shown, and no body of the identity service.
func (t *trace) sent(req *http.Request, call cloud.Call) int64 {
	if t == nil {
		return 0
	}
	n := t.calls.Add(1)
	t.log.Info("HTTP request", zap.Int64("call", n), zap.String("service", string(call.Service)), zap.String("method", req.Method),
		zap.String("url", req.URL.Redacted()), zap.Any("headers", shownHeaders(req.Header)), zap.String("body", shownBody(req, call.Service)))
	return n
}

// answered logs the answer to a request: of a success without its body.
func (t *trace) answered(n int64, resp *http.Response, call cloud.Call, failure []byte) {
	if t == nil {
		return
	}
	fields := []zap.Field{
		zap.Int64("call", n), zap.Int("status", resp.StatusCode), zap.Any("headers", shownHeaders(resp.Header)),
		zap.Int64("length", resp.ContentLength),
	}
	if len(failure) > 0 && call.Service != cloud.Identity {
		fields = append(fields, zap.String("body", redacted(failure)))
	}
	t.log.Info("HTTP answer", fields...)
}

// lost logs that there is no answer.
func (t *trace) lost(n int64, err error) {
	if t != nil {
		t.log.Info("HTTP answer", zap.Int64("call", n), zap.Error(err))
	}
}

// shownHeaders are the headers that say nothing secret.
func shownHeaders(h http.Header) map[string]string {
	shown := map[string]string{}
	for _, name := range []string{
		"Accept", "Content-Type", "Content-Length", "Date", "Openstack-Api-Version", "Range", "Retry-After", "Server", "User-Agent",
		"X-Compute-Request-Id", "X-Openstack-Request-Id",
	} {
		if v := h.Get(name); v != "" {
			shown[name] = v
		}
	}
	return shown
}

// shownBody is what is logged of the body of a request, if it is JSON that can
// be read twice.
func shownBody(req *http.Request, service cloud.Service) string {
	switch {
	case req.Body == nil || req.Body == http.NoBody:
		return ""
	case service == cloud.Identity || req.GetBody == nil:
		return hidden
	}
	body, err := req.GetBody()
	if err != nil {
		return hidden
	}
	defer closeBody(body)
	text, err := io.ReadAll(io.LimitReader(body, maxTraced+1))
	if err != nil {
		return hidden
	}
	return redacted(text)
}

// redacted is JSON without the values that are secret, or may be. Of what is no
// JSON, or too long, nothing is shown.
func redacted(text []byte) string {
	var value any
	if len(text) > maxTraced || json.Unmarshal(text, &value) != nil {
		return hidden
	}
	shown, err := json.Marshal(withoutSecrets(value))
	if err != nil {
		return hidden
	}
	return string(shown)
}

func withoutSecrets(value any) any {
	switch v := value.(type) {
	case map[string]any:
		v = maps.Clone(v)
		for key, inner := range v {
			if secretKey.MatchString(key) {
				v[key] = hidden
				continue
			}
			v[key] = withoutSecrets(inner)
		}
		return v
	case []any:
		list := make([]any, 0, len(v))
		for _, inner := range v {
			list = append(list, withoutSecrets(inner))
		}
		return list
	}
	return value
}
