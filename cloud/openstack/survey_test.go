package openstack

import (
	"net/http"
	"reflect"
	"testing"

	"poold/cloud"
)

// What things are called is read of every list, over all its pages; security
// groups of other projects count only where there is no own one of that name.
func TestNames(t *testing.T) {
	newStub(t, "", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path + "?" + r.URL.Query().Get("marker") {
		case "/network/v2.0/security-groups?":
			say(w, `{"security_groups": [{"id": "1", "name": "default", "project_id": "p2"}, {"id": "2", "name": "default", "project_id": "p1"}],
				"security_groups_links": [{"rel": "next", "href": "http://x/?marker=2"}]}`)
		case "/network/v2.0/security-groups?2":
			say(w, `{"security_groups": [{"id": "3", "name": "shared", "project_id": "p2"}]}`)
		case "/compute/os-keypairs?":
			say(w, `{"keypairs": [{"keypair": {"name": "ops", "public_key": "k"}}]}`)
		case "/image/v2/schemas/image?":
			say(w, `{"name": "image", "properties": {"disk_format": {"type": ["null", "string"], "enum": [null, "raw", "qcow2"]}}}`)
		default:
			say(w, `{}`)
		}
	})
	d := open(t, "ours", cloud.Open{})
	for kind, want := range map[cloud.NamedKind][]cloud.Named{
		cloud.NamedSecurityGroup: {{ID: "2", Name: "default"}, {ID: "3", Name: "shared"}},
		cloud.NamedKeyPair:       {{Name: "ops"}},
		cloud.NamedFormat:        {{Name: "raw"}, {Name: "qcow2"}},
		cloud.NamedServerGroup:   {},
	} {
		got, err := d.Names(t.Context(), kind)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%ss: %v, %v; want %v", kind, got, err, want)
		}
	}
}

// A cloud whose schema does not say what formats there are cannot tell.
func TestNoFormats(t *testing.T) {
	newStub(t, "", func(w http.ResponseWriter, _ *http.Request) { say(w, `{"name": "image", "properties": {}}`) })
	_, err := open(t, "ours", cloud.Open{}).Names(t.Context(), cloud.NamedFormat)
	wantKind(t, "a schema without formats", err, cloud.NotFound)
}
