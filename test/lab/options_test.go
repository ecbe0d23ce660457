//go:build lab

package lab

import (
	"encoding/base64"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"poold/test/protocol"
)

// Every option of servers, as nova and neutron say that it is.
func TestServerOptions(t *testing.T) { //nolint:tparallel // its subtests wait for what was asked for at once
	t.Parallel()
	n := newTenant(t, "r1")
	c := n.regions["r1"]
	second := n.newNetwork(t, c, "second", "10.21.0.0/16")
	first := c.ownNetwork(t, tenantNet)
	imageID := c.imageNamed(t, "lab-image")
	group := c.create(t, compute, "/os-server-groups", "server_group", object{"name": "apart", "policy": "soft-anti-affinity"})
	// All of them are there at once, whichever is looked at first.
	n.limit(t, "r1", compute, object{"cores": 100, "instances": 100, "ram": 500_000})
	s := newSite(t, n)
	const script = "#!/bin/sh\necho hello\n"
	s.run(t, nil, provider("r1", keys{
		"cloud-images": []keys{
			{"name": "lab-image"},
			{"name": "with-drive", "image-name": "lab-image", "config-drive": true},
			{"name": "by-id", "image-id": imageID},
		},
	},
		pool("main", nil,
			label("flavor-by-name", keys{"flavor-name": "lab.small"}),
			label("flavor-by-id", keys{"flavor-name": c.flavorNamed(t, "lab.small")}),
			label("least-ram", keys{"flavor-name": nil, "min-ram": 2049}),
			label("least-ram-of-name", keys{"flavor-name": "arge", "min-ram": 1000}),
			label("image-by-id", keys{"cloud-image": "by-id"}),
			label("key", keys{"key-name": tenantKey}),
			label("public-key", keys{"public-key": publicKey(t)}),
			label("config-drive", keys{"cloud-image": "with-drive"}),
			label("user-data", keys{"userdata": script}),
			label("properties", keys{"instance-properties": keys{"team": "blue", "poold_batch": "mine"}}),
			label("dynamic-properties", keys{"dynamic-instance-properties": keys{"for": "{request.id}"}}),
			label("volume", keys{"boot-from-volume": true, "volume-size": 3}),
			label("tags", keys{"tags": []string{"blue", "green"}}),
			label("server-group", keys{"server-group": "apart"}),
			label("hints", keys{"scheduler-hints": keys{"rack": "7"}}),
		),
		pool("network-by-id", keys{"networks": []string{second}}, label("network-by-id", nil)),
		pool("two-networks", keys{"networks": []string{"second", tenantNet}}, label("two-networks", nil)),
		pool("group", keys{"security-groups": []string{tenantSG}}, label("group", nil)),
		pool("zone", keys{"availability-zones": []string{"nova"}}, label("zone", nil)),
	))
	asked := map[string]*request{}
	checks := map[string]func(o *option){
		"flavor-by-name":    func(o *option) { o.equal("flavor", o.server.Flavor.Name, "lab.small") },
		"flavor-by-id":      func(o *option) { o.equal("flavor", o.server.Flavor.Name, "lab.small") },
		"least-ram":         func(o *option) { o.equal("flavor", o.server.Flavor.Name, "lab.medium") },
		"least-ram-of-name": func(o *option) { o.equal("flavor", o.server.Flavor.Name, "lab.large") },
		"image-by-id":       func(o *option) { o.equal("image", o.server.imageID(), imageID) },
		"key":               func(o *option) { o.equal("keypair", o.server.Key, tenantKey) },
		"public-key":        func(o *option) { o.ownKeyPair(n) },
		"config-drive":      func(o *option) { o.equal("config drive", o.server.ConfigDrive, "True") },
		"user-data": func(o *option) {
			o.equal("user data", o.server.UserData, base64.StdEncoding.EncodeToString([]byte(script)))
			o.equal("config drive", o.server.ConfigDrive, "")
			o.equal("keypair", o.server.Key, "")
			o.on(first)
		},
		"properties": func(o *option) {
			o.equal("property", o.server.Metadata["team"], "blue")
			o.equal("property that is the mark's", o.server.Metadata["poold_batch"], o.server.batch())
		},
		"dynamic-properties": func(o *option) {
			o.equal("request", "lab/"+o.server.Metadata["for"], asked["dynamic-properties"].Name())
		},
		"volume": func(o *option) { o.onVolume(3) },
		"tags": func(o *option) {
			slices.Sort(o.server.Tags)
			o.equal("tags", strings.Join(o.server.Tags, " "), "blue green")
		},
		"server-group":  func(o *option) { o.equal("server groups", strings.Join(o.server.ServerGroups, " "), group) },
		"hints":         func(o *option) { o.equal("hints", hints(t, o.server.ID), `{"rack": ["7"]}`) },
		"network-by-id": func(o *option) { o.on(second) },
		"two-networks":  func(o *option) { o.on(first, second) },
		"group":         func(o *option) { o.inGroup(tenantSG) },
		"zone": func(o *option) {
			o.equal("zone", o.server.Zone, "nova")
			o.equal("zone of the node", o.node.AZ, "nova")
		},
	}
	for name := range checks {
		asked[name] = s.ask(t, name)
	}
	for name, check := range checks {
		t.Run(name, func(t *testing.T) {
			r := asked[name]
			given := r.served(t)[0]
			check(&option{t, c, given, s.server(t, given)})
			r.release(t)
		})
	}
	s.retire(t)
}

// option is a node of a label with an option, and its server.
type option struct {
	t      *testing.T
	api    *api
	node   protocol.Node
	server server
}

func (o *option) equal(what, got, want string) {
	o.t.Helper()
	equal(o.t, what, got, want)
}

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// on checks that the server has one port in each of the networks.
func (o *option) on(want ...string) {
	o.t.Helper()
	var got []string
	for _, p := range o.api.ports(o.t, o.server.ID) {
		got = append(got, p.Network)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		o.t.Errorf("the server's ports are in the networks %v, want %v", got, want)
	}
}

// ownKeyPair checks that poold made the server's key pair, and removes it as an
// operator does: poold cannot know whether others of the account still use it.
func (o *option) ownKeyPair(n *tenant) {
	o.t.Helper()
	if o.server.Key == "" || o.server.Key == tenantKey {
		o.t.Fatalf("the server's key pair is %q", o.server.Key)
	}
	path := "/os-keypairs/" + o.server.Key + "?user_id=" + n.user
	var answer struct {
		Keypair struct {
			Public string `json:"public_key"`
		}
	}
	o.api.get(o.t, compute, path, &answer)
	o.equal("public key", strings.TrimSpace(answer.Keypair.Public), publicKey(o.t))
	o.api.remove(o.t, compute, path)
}

// hints are what nova's scheduler was told, which no API of nova shows: it is
// read from the database.
func hints(t *testing.T, id string) string {
	t.Helper()
	query := "select json_extract(spec, '$.\"nova_object.data\".scheduler_hints') from request_specs where instance_uuid='" + id + "'"
	out, err := exec.Command("mariadb", "--no-defaults", "-u", "root", "-N", "-B",
		"-S", filepath.Join(labDir(), "run", "mysql.sock"), "r1_nova_api", "-e", query).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// inGroup checks that the server's ports are in a security group and no other.
func (o *option) inGroup(name string) {
	o.t.Helper()
	id := o.api.named(o.t, network, "/v2.0/security-groups?name="+name+"&project_id="+o.api.project, "security_groups", name)
	ports := o.api.ports(o.t, o.server.ID)
	if len(ports) == 0 || !slices.Equal(ports[0].Groups, []string{id}) {
		o.t.Errorf("the ports are %+v, want one in the group %s", ports, id)
	}
}

// onVolume checks that the server runs on a volume that was made from the image
// and goes with the server.
func (o *option) onVolume(size int) {
	o.t.Helper()
	v := o.server
	if len(v.Volumes) != 1 || !v.Volumes[0].Delete || v.imageID() != "" {
		o.t.Fatalf("the server's volumes are %+v, its image is %q", v.Volumes, v.Image)
	}
	var answer struct {
		Volume struct {
			Size  int
			Image struct {
				ID string `json:"image_id"`
			} `json:"volume_image_metadata"`
		}
	}
	o.api.get(o.t, volumes, "/volumes/"+v.Volumes[0].ID, &answer)
	if answer.Volume.Size != size || answer.Volume.Image.ID != o.api.imageNamed(o.t, "lab-image") {
		o.t.Errorf("the volume is %+v", answer.Volume)
	}
}
