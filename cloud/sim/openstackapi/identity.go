package openstackapi

import (
	"net/http"
	"time"

	"poold/cloud"
	"poold/cloud/sim"
)

// issueToken is the one operation that needs no token.
const issueToken = "POST /auth/tokens" //nolint:gosec // it is no secret

const stamp = "2006-01-02T15:04:05.000000Z"

type link struct {
	Rel  string `json:"rel"`
	Href string `json:"href"`
}

func identityVersion(r *request) map[string]any {
	return map[string]any{
		"id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z",
		"links": []link{{Rel: "self", Href: "http://" + r.Host + "/v3/"}},
		"media-types": []map[string]string{{
			"base": "application/json", "type": "application/vnd.openstack.identity-v3+json",
		}},
	}
}

func identityRoot(r *request) answer {
	return answer{
		status: http.StatusMultipleChoices,
		body:   map[string]any{"versions": map[string]any{"values": []any{identityVersion(r)}}},
	}
}

// discovery is what a service says of its versions; false for anything else.
func discovery(r *request, service cloud.Service) (answer, bool) {
	at := ""
	if len(r.path) == 1 {
		at = r.path[0]
	}
	versions := func(status int, list ...any) (answer, bool) {
		return answer{status: status, body: map[string]any{"versions": list}}, true
	}
	version := func(id, status, path string) map[string]any {
		return map[string]any{"id": id, "status": status, "links": []link{{Rel: "self", Href: r.base + path}}}
	}
	switch string(service) + "/" + at {
	case "compute/", "compute/v2.1":
		v := version("v2.1", "CURRENT", "/v2.1/")
		v["version"], v["min_version"], v["updated"] = "2.93", "2.1", "2013-07-23T11:33:21Z"
		if at != "" {
			return answer{status: http.StatusOK, body: map[string]any{"version": v}}, true
		}
		return versions(http.StatusOK, v)
	case "image/":
		return versions(http.StatusMultipleChoices, version("v2.15", "CURRENT", "/v2/"), version("v2.9", "SUPPORTED", "/v2/"),
			version("v2.0", "SUPPORTED", "/v2/"))
	case "network/":
		return versions(http.StatusOK, version("v2.0", "CURRENT", "/v2.0/"))
	}
	return answer{}, false
}

func identityOperations() map[string]func(*request) (answer, error) {
	return map[string]func(*request) (answer, error){
		"POST/auth/tokens": authenticate, "GET/auth/tokens": showToken, "DELETE/auth/tokens": revokeToken,
	}
}

// authRequest is the body of a POST of /auth/tokens.
type authRequest struct {
	Auth struct {
		Identity struct {
			Methods  []string `json:"methods"`
			Password struct {
				User struct {
					ID, Name, Password string
				} `json:"user"`
			} `json:"password"`
			ApplicationCredential struct {
				ID, Name, Secret string
			} `json:"application_credential"`
		} `json:"identity"`
		Scope struct {
			Project struct {
				ID, Name string
			} `json:"project"`
		} `json:"scope"`
	} `json:"auth"`
}

func authenticate(r *request) (answer, error) {
	var body authRequest
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	user, app := body.Auth.Identity.Password.User, body.Auth.Identity.ApplicationCredential
	project := body.Auth.Scope.Project
	cred := sim.Credentials{
		User: user.Name + user.ID, Password: user.Password, Project: project.Name + project.ID,
		ID: app.ID + app.Name, Secret: app.Secret,
	}
	token, expires, err := r.h.regions[0].cloud.Authenticate(r.now, cred)
	if err != nil {
		return answer{}, err
	}
	a, err := tokenAnswer(r, expires)
	a.status = http.StatusCreated
	a.header = map[string]string{"X-Subject-Token": token}
	return a, err
}

func showToken(r *request) (answer, error) {
	token := r.Header.Get("X-Subject-Token")
	expires, good := r.h.regions[0].cloud.TokenExpires(r.now, token)
	if !good {
		return answer{}, &sim.CallError{Status: http.StatusNotFound, Message: "Could not recognize Fernet token"}
	}
	a, err := tokenAnswer(r, expires)
	a.header = map[string]string{"X-Subject-Token": token}
	return a, err
}

func revokeToken(r *request) (answer, error) {
	r.h.regions[0].cloud.Revoke(r.Header.Get("X-Subject-Token"))
	return answer{status: http.StatusNoContent}, nil
}

type endpoint struct {
	ID        string `json:"id"`
	Interface string `json:"interface"`
	Region    string `json:"region"`
	RegionID  string `json:"region_id"`
	URL       string `json:"url"`
}

func tokenAnswer(r *request, expires time.Time) (answer, error) {
	first := r.h.regions[0].cloud
	cfg := first.Config()
	domain := map[string]string{"id": "default", "name": "Default"}
	root := "http://" + r.Host
	service := func(kind, name, path string) map[string]any {
		var endpoints []endpoint
		for _, region := range r.h.regions {
			url := root + "/" + region.name + path
			if kind == "identity" {
				url = root + path
			}
			for _, face := range []string{"public", "internal", "admin"} {
				endpoints = append(endpoints, endpoint{
					ID: kind + "-" + face + "-" + region.name, Interface: face, Region: region.name, RegionID: region.name, URL: url,
				})
			}
		}
		return map[string]any{"id": kind, "type": kind, "name": name, "endpoints": endpoints}
	}
	catalog := []any{
		service("identity", "keystone", "/v3"), service("compute", "nova", "/compute/v2.1"),
		service("image", "glance", "/image"), service("network", "neutron", "/network"),
	}
	if cfg.MaxObject > 0 {
		catalog = append(catalog, service("object-store", "swift", "/"+objectService+objectVersion+first.ProjectID()))
	}
	return ok(map[string]any{"token": map[string]any{
		"methods": []string{"password"}, "audit_ids": []string{"sim"}, "is_domain": false,
		"user":       map[string]any{"domain": domain, "id": first.UserID(), "name": cfg.User, "password_expires_at": nil},
		"project":    map[string]any{"domain": domain, "id": first.ProjectID(), "name": cfg.Project},
		"roles":      []map[string]string{{"id": "member", "name": "member"}},
		"issued_at":  r.now.UTC().Format(stamp),
		"expires_at": expires.UTC().Format(stamp),
		"catalog":    catalog,
	}})
}
