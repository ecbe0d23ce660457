package pool

import (
	"fmt"
	"strconv"
	"strings"
)

// ExpandRequest replaces what stands in braces in a text by what it names of a
// request: {request.id}, {request.labels}, {request.requestor},
// {request.relative_priority}, {request.event_id}, {request.tenant_name} or
// {request.annotations.NAME}. Doubled braces are braces. Its error says what
// cannot be replaced.
func ExpandRequest(text string, r *Request) (string, error) {
	var b strings.Builder
	for text != "" {
		i := strings.IndexAny(text, "{}")
		if i < 0 {
			i = len(text)
		}
		b.WriteString(text[:i])
		if text = text[i:]; text == "" {
			break
		}
		if strings.HasPrefix(text, "{{") || strings.HasPrefix(text, "}}") {
			b.WriteByte(text[0])
			text = text[2:]
			continue
		}
		name, rest, closed := strings.Cut(text, "}")
		if text[0] == '}' || !closed {
			return "", fmt.Errorf("a brace stands alone; write %s%[1]s for a brace", text[:1])
		}
		value, ok := r.field(name[1:])
		if !ok {
			return "", fmt.Errorf("there is no %s}", name)
		}
		b.WriteString(value)
		text = rest
	}
	return b.String(), nil
}

// field is what a name means in a text, by nodepool's names where there are
// such.
func (r *Request) field(name string) (string, bool) {
	if key, ok := strings.CutPrefix(name, "request.annotations."); ok {
		return r.Annotations[key], key != ""
	}
	switch name {
	case "request.id":
		return r.ID, true
	case "request.labels":
		return strings.Join(r.Labels, ","), true
	case "request.requestor":
		return r.Client, true
	case "request.relative_priority":
		return strconv.Itoa(r.RelativePriority), true
	case "request.event_id":
		return r.Annotations["event_id"], true
	case "request.tenant_name":
		return r.Tenant, true
	}
	return "", false
}
