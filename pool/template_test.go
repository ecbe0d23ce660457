package pool

import "testing"

func TestExpandRequest(t *testing.T) {
	r := &Request{
		Client: "zuul", ID: "r1", Labels: []string{"a", "b"}, RelativePriority: 3, Tenant: "t",
		Annotations: map[string]string{"event_id": "e", "job": "j"},
	}
	for text, want := range map[string]string{
		"":              "",
		"plain":         "plain",
		"{request.id}/": "r1/",
		"{request.requestor} {request.labels} {request.relative_priority}": "zuul a,b 3",
		"{request.tenant_name}{request.event_id}{request.annotations.job}": "tej",
		"{request.annotations.none}|":                                      "|",
		"{{request.id}} }}{{":                                              "{request.id} }{",
	} {
		if got, err := ExpandRequest(text, r); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"{", "}", "{request.id", "x}y", "{}", "{request}", "{request.requestor_data}", "{request.annotations.}", "{{}"} {
		if got, err := ExpandRequest(text, r); err == nil {
			t.Errorf("%q: got %q", text, got)
		}
	}
}
