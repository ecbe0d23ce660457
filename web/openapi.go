package web

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"poold/event"
)

// object is a part of a JSON document.
type object = map[string]any

// openAPI describes the API, from the types that are served.
func (s *Server) openAPI() any {
	paths := object{
		"/api/v1/watch": object{"get": object{
			"summary":    "Events as they happen, as server-sent events; Last-Event-ID resumes",
			"parameters": parameters(eventFields()),
			"responses": object{
				"200": object{"description": "A stream", "content": object{"text/event-stream": object{"schema": schema(reflect.TypeFor[event.Event]())}}},
				"400": refusal(), "503": refusal(),
			},
		}},
	}
	paths["/api/v1/actions"] = object{"post": actionAPI()}
	for _, l := range s.lists() {
		properties := object{
			"items": object{"type": "array", "items": schema(l.item)},
			"total": object{"type": "integer"}, "next": object{"type": "integer"},
		}
		if l.since != nil {
			properties["kept_since"] = schema(reflect.TypeFor[time.Time]())
		}
		paths["/api/v1/"+l.kind] = object{"get": object{
			"summary":    "List " + l.kind,
			"parameters": parameters(append([]string{"from", "limit"}, l.fields...)),
			"responses": object{
				"200": object{"description": "The list", "content": object{"application/json": object{"schema": object{
					"type": "object", "required": []string{"items"}, "properties": properties,
				}}}},
				"400": refusal(), "503": refusal(),
			},
		}}
	}
	return object{
		"openapi": "3.1.0", "info": object{"title": "poold", "version": "v1"}, "paths": paths,
		"components": object{"securitySchemes": object{
			"token":       object{"type": "http", "scheme": "bearer"},
			"certificate": object{"type": "mutualTLS"},
		}},
		// Reading needs neither unless webapp.closed says so.
		"security": []object{{}, {"token": []string{}}, {"certificate": []string{}}},
	}
}

// actionAPI describes what can be done.
func actionAPI() object {
	want := schema(reflect.TypeFor[wish]())
	want["required"] = []string{"verb", "target", "reason"}
	if properties, ok := want["properties"].(object); ok {
		properties["verb"] = object{"type": "string", "enum": verbs()}
	}
	responses := object{"200": object{"description": "It was done", "content": object{"application/json": object{"schema": schema(reflect.TypeFor[done]())}}}}
	for _, status := range []string{"400", "401", "403", "404", "409", "413", "415", "429", "503"} {
		responses[status] = refusal()
	}
	return object{
		"summary":     "Do what poolctl does, if webapp.tokens or webapp.tls.client-ca lets somebody",
		"security":    []object{{"token": []string{}}, {"certificate": []string{}}},
		"requestBody": object{"required": true, "content": object{"application/json": object{"schema": want}}},
		"responses":   responses,
	}
}

func refusal() object {
	return object{"description": "Why not", "content": object{"application/json": object{"schema": schema(reflect.TypeFor[problem]())}}}
}

func parameters(names []string) []object {
	all := make([]object, 0, len(names))
	for _, name := range names {
		kind := "string"
		if name == "from" || name == "limit" {
			kind = "integer"
		}
		all = append(all, object{"name": name, "in": "query", "schema": object{"type": kind}})
	}
	return all
}

// schema describes a type as encoding/json writes it.
func schema(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[json.RawMessage]():
		return object{}
	}
	switch t.Kind() { //nolint:exhaustive // the others are numbers
	case reflect.Pointer:
		return schema(t.Elem())
	case reflect.Slice:
		return object{"type": "array", "items": schema(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": schema(t.Elem())}
	case reflect.Struct:
		properties := object{}
		describe(t, properties)
		return object{"type": "object", "additionalProperties": false, "properties": properties}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float64:
		return object{"type": "number"}
	}
	return object{"type": "integer"}
}

// describe adds the fields of a struct, those of embedded ones as its own.
func describe(t reflect.Type, properties object) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			describe(f.Type, properties)
		case f.IsExported() && name != "-" && name != "":
			properties[name] = schema(f.Type)
		}
	}
}
