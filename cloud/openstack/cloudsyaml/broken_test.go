package cloudsyaml

import (
	"path/filepath"
	"strings"
	"testing"
)

// Each mistake is told with its place and the way out, word for word, and no
// error quotes a secret. FILE stands for the path of clouds.yaml.
func TestBroken(t *testing.T) {
	const (
		head = "clouds:\n  a:\n"
		ok   = "    auth:\n      auth_url: https://k.example/v3\n      username: u\n      password: hunter2\n" +
			"      user_domain_name: d\n      project_id: p\n"
		supported = "password, token, v2password, v2token, v3applicationcredential, v3multifactor, v3password, v3token, v3totp"
	)
	login := func(lines ...string) string {
		return head + "    auth:\n      auth_url: https://k.example/v3\n      " + strings.Join(lines, "\n      ") + "\n"
	}
	for _, c := range []struct{ name, text, want string }{
		{"no such cloud", "clouds: {b: {}}", `FILE: there is no cloud "a", only b`},
		{"no cloud at all", "clouds: {}", `FILE: there is no cloud "a"`},
		{"an empty file", "", `FILE: there is no cloud "a"`},
		{"a list for the whole", "- a\n", `FILE:1: the file must be a mapping; it begins with "clouds:"`},
		{"a list of clouds", "x: 1\nclouds:\n  - a\n", "FILE:2: clouds must be a mapping from the name of a cloud to its settings"},
		{"a cloud that is a list", "clouds:\n  a: []\n", `FILE:2: cloud "a" must be a mapping: its settings stand below it, indented`},
		{"a cloud that says nothing", "clouds:\n  a:\n", `FILE:2: cloud "a" has no auth_url under auth` + "\n" +
			`FILE:2: cloud "a" has no password under auth, nor in secure.yaml` + "\n" +
			`FILE:2: cloud "a" has no username under auth, nor in secure.yaml`},
		{"a bracket that is not closed", "clouds:\n  a: {hunter2\n", "FILE:1: this is not YAML: look for a missing quote, colon or space"},
		{"a tabulator", head + "\tauth: x\n", "FILE:3: this is not YAML: found character that cannot start any token"},
		{"a second document", head + ok + "---\nclouds: {}\n", "FILE:9: a second document begins here: put everything into the first"},
		{
			"an alias that is no alias", login("username: u", "password: *hunter2"),
			"FILE: this is not YAML: an alias to an anchor that is not in the file; put a value that begins with * in quotes",
		},
		{"a tag that is no tag", login("password: !hunter2"), "FILE:5: a tag is not expected here; put a value that begins with ! in quotes"},
		{"an anchor in itself", "clouds: &c\n  a: *c\n", "FILE:2: the file is nested too deeply or has too many values: look for an alias (*) of what it is in"},
		{"a key twice", head + ok + "    verify: true\n    verify: false\n", "FILE:10: a key is here twice, first in line 9: keep one"},
		{"a key that is a list", "clouds:\n  [a, b]: {}\n", "FILE:2: a key is not a single word: look for a missing quote or an extra colon"},
		{"a merge of text", head + "    <<: x\n" + ok, "FILE:3: << takes a mapping, or a list of mappings"},
		{"auth as text", head + "    auth: hunter2\n", "FILE:3: auth must be a mapping: auth_url, username and so on stand below it, indented"},
		{"no address", head + "    auth: {username: u, password: hunter2}\n", `FILE:2: cloud "a" has no auth_url under auth`},
		{"an address without http", head + "    auth: {auth_url: k.example, username: u, password: hunter2}\n", "FILE:3: auth_url must be a http or https address"},
		{
			"an address with a password", head + "    auth: {auth_url: 'https://u:hunter2@k.example/v3', username: u, password: p, user_domain_id: d}\n",
			"FILE:3: auth_url has a user or password in it: write username and password",
		},
		{
			"an address with an unknown key", head + "    auth: {auth_url: 'https://{site}.example/v3', username: u, password: p, user_domain_id: d}\n",
			"FILE:3: auth_url has braces that name no other key of the cloud: write {region_name}, or {{ and }} for braces",
		},
		{"no user", login("password: hunter2"), `FILE:2: cloud "a" has no username under auth, nor in secure.yaml`},
		{"no password", login("username: u", "user_domain_id: d"), `FILE:2: cloud "a" has no password under auth, nor in secure.yaml`},
		{"no domain of the user", login("username: u", "password: hunter2"), "FILE:5: username needs its domain: add user_domain_name (Default in most clouds)"},
		{
			"no domain of the project", login("username: u", "password: hunter2", "user_domain_id: d", "project_name: p"),
			"FILE:8: project_name needs its domain: add project_domain_name (Default in most clouds)",
		},
		{"a slip", login("username: u", "pasword: hunter2", "user_domain_id: d", "password: x"), "FILE:6: auth has no key pasword: did you mean password?"},
		{"a key in the wrong place", head + ok + "      image_format: raw\n", "FILE:9: auth has no key image_format: remove it, or move it out of auth, one step to the left"},
		{"a password for a key", head + ok + "      Hunter2!: x\n", "FILE:9: auth has no key that: remove it, or move it out of auth, one step to the left"},
		{"the type in auth", head + ok + "      auth_type: token\n", "FILE:9: auth_type stands beside auth, not in it: move it one step to the left"},
		{"a number for a password", login("username: u", "user_domain_id: d", "password: 0123"), "FILE:7: password is taken for a number as it is written: put it in quotes"},
		{"a word for a user", login("username: on", "user_domain_id: d", "password: hunter2"), "FILE:5: username is taken for true or false as it is written: put it in quotes"},
		{
			"a date for a project", login("username: u", "user_domain_id: d", "password: hunter2", "project_id: 2024-01-31"),
			"FILE:8: project_id is taken for a date as it is written: put it in quotes",
		},
		{"a list for a password", login("username: u", "user_domain_id: d", "password: [hunter2]"), "FILE:7: password must be a single value"},
		{"an unknown type", head + "    auth_type: hunter2\n" + ok, "FILE:3: auth_type is none of " + supported},
		{"a type for browsers", head + "    auth_type: v3oidcauthcode\n" + ok, `FILE:3: auth_type "v3oidcauthcode" is not supported: ` + useCredential},
		{"the type of a list", head + "    auth_type: [token]\n" + ok, "FILE:3: auth_type must be a single value"},
		{"no token", head + "    auth_type: v3token\n    auth: {auth_url: 'https://k.example'}\n", `FILE:2: cloud "a" has no token under auth, nor in secure.yaml`},
		{"no secret", login("application_credential_id: i"), `FILE:2: cloud "a" has no application_credential_secret under auth, nor in secure.yaml`},
		{
			"a credential of nobody", login("application_credential_name: n", "application_credential_secret: hunter2"),
			"FILE:2: application_credential_name needs the user: write application_credential_id, or also username and user_domain_name",
		},
		{"no passcode", head + "    auth_type: v3totp\n    auth: {auth_url: 'https://k.example', user_id: u}\n", `FILE:2: cloud "a" has no passcode under auth, nor in secure.yaml`},
		{"no factors", head + "    auth_type: v3multifactor\n" + ok, "FILE:2: auth_type v3multifactor needs auth_methods under auth, for instance [v3password, v3totp]"},
		{
			"a strange factor", head + "    auth_type: v3multifactor\n" + ok + "      auth_methods: [v3password, v3kerberos]\n",
			"FILE:10: auth_methods can only have v3password and v3totp: " + useCredential,
		},
		{
			"an old address with a new type", head + "    auth_type: v3password\n    auth: {auth_url: 'https://k.example/v2.0', user_id: u, password: hunter2}\n",
			"FILE:4: auth_url is of the identity API 2.0, but auth_type is of 3: write an auth_url that ends in /v3",
		},
		{
			"a new address with an old type", head + "    auth_type: v2password\n    auth: {auth_url: 'https://k.example/v3', username: u, password: hunter2}\n",
			"FILE:4: auth_url is of the identity API 3, but auth_type is of 2.0: write auth_type password, and domains",
		},
		{
			"an old address with domains", head + "    auth: {auth_url: 'https://k.example/v2.0', username: u, password: hunter2, domain_id: d, project_id: p}\n",
			"FILE:3: auth_url is of the identity API 2.0, which knows no domains: write an auth_url that ends in /v3, or remove the domains",
		},
		{"a system in part", head + ok + "      system_scope: some\n", "FILE:9: system_scope can only be all"},
		{"a profile to be fetched", head + "    profile: https://vendor.example\n" + ok, "FILE:3: a profile that must be fetched from an address is not supported: " +
			"write what it says (auth_url, regions, image_format) into the cloud, or into clouds-public.yaml under a name"},
		{"a list of profiles", head + "    profile: [ovh]\n" + ok, "FILE:3: profile must be the name of a vendor profile"},
		{
			"an unknown profile and no address", head + "    profile: nobody\n    auth: {username: u, password: hunter2}\n",
			`FILE:3: there is no vendor profile "nobody": the cloud has only what stands here. Known are ` + knownProfiles() + "; without one, auth needs auth_url",
		},
		{"a strange interface", head + ok + "    interface: outer\n", "FILE:9: interface must be public, internal or admin"},
		{"a strange interface of a service", head + ok + "    image_endpoint_type: outerURL\n", "FILE:9: image_interface must be public, internal or admin"},
		{"a time-out in words", head + ok + "    api_timeout: soon\n", "FILE:9: api_timeout must be a number of seconds, up to an hour"},
		{"no time at all", head + ok + "    api_timeout: 0\n", "FILE:9: api_timeout must be a number of seconds, up to an hour"},
		{"verify in words", head + ok + "    verify: maybe\n", "FILE:9: verify must be true or false"},
		{"a key without its certificate", head + ok + "    key: /k.pem\n", "FILE:9: key without cert: name the client certificate that the key belongs to"},
		{"a source of floating IPs", head + ok + "    floating_ip_source: pool\n", "FILE:9: floating_ip_source must be neutron, nova or None"},
		{"an endpoint without http", head + ok + "    volume_endpoint_override: cinder\n", "FILE:9: the endpoint of the block-storage service must be a http or https address"},
		{"regions as text", head + ok + "    regions: one\n", "FILE:9: regions must be a list of names, or of mappings of name and values"},
		{"a region without a name", head + ok + "    regions:\n      - one\n      - values: {}\n", "FILE:11: a region must be a name, or a mapping of name and values"},
		{"a region with settings beside values", head + ok + "    regions:\n      - name: one\n        image_format: raw\n", "FILE:11: a region has only name and values: put image_format below values"},
		{"a region with a list of values", head + ok + "    regions:\n      - name: one\n        values: [x]\n", "FILE:11: the values of a region must be a mapping of settings"},
		{"a region that is a number", head + ok + "    regions: [010]\n", "FILE:9: the name of a region is taken for a number as it is written: put it in quotes"},
		{"a region_name that is a mapping", head + ok + "    region_name: {one: two}\n", "FILE:9: region_name must be the name of a region"},
		{"networks as a mapping", head + ok + "    networks: {name: net}\n", "FILE:9: networks must be a list, each with a name"},
		{"a network without a name", head + ok + "    networks:\n      - routes_externally: true\n", "FILE:10: a network must have a name"},
		{"a network in words", head + ok + "    networks:\n      - name: net\n        nat_destination: perhaps\n", "FILE:11: nat_destination must be true or false"},
		{
			"two networks for one role", head + ok + "    networks:\n      - {name: x, nat_destination: true}\n      - {name: y, nat_destination: true}\n",
			`FILE:9: only one network can have nat_destination, not "x" and "y"`,
		},
		{"old and new networks", head + ok + "    networks: []\n    external_network: net\n", "FILE:10: external_network and networks cannot both be there: put it into networks, with routes_externally"},
		{"several mistakes", head + ok + "    verify: maybe\n    interface: outer\n    api_timeout: never\n", "FILE:9: verify must be true or false\n" +
			"FILE:10: interface must be public, internal or admin\nFILE:11: api_timeout must be a number of seconds, up to an hour"},
	} {
		p := write(t, map[string]string{"clouds.yaml": c.text})
		want := strings.ReplaceAll(c.want, "FILE", filepath.Join(p.Dirs[0], "clouds.yaml"))
		_, err := Load(p, "a", "")
		switch {
		case err == nil:
			t.Errorf("%s: no error", c.name)
		case err.Error() != want:
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, err, want)
		case strings.Contains(strings.ToLower(err.Error()), "hunter2"):
			t.Errorf("%s: the error has the secret", c.name)
		}
	}
}

// Mistakes between the files, and in what names them.
func TestBrokenFiles(t *testing.T) {
	const clouds = "clouds:\n  a:\n    auth:\n      auth_url: https://k.example/v3\n      username: u\n      user_domain_id: d\n"
	for _, c := range []struct {
		name    string
		files   map[string]string
		environ []string
		region  string
		want    string
	}{
		{
			"a secret that is a mapping",
			map[string]string{"clouds.yaml": clouds + "      password: x\n", "secure.yaml": "clouds: {a: {auth: {password: {x: hunter2}}}}"},
			nil, "",
			"DIR/secure.yaml:1: this is a mapping, but in DIR/clouds.yaml:7 it is not: write it alike in both files",
		},
		{"a secret file that is a list", map[string]string{"clouds.yaml": clouds, "secure.yaml": "- x\n"}, nil, "", `DIR/secure.yaml:1: the file must be a mapping; it begins with "clouds:"`},
		{
			"a mistake in the secret file",
			map[string]string{"clouds.yaml": clouds, "secure.yaml": "clouds:\n  a:\n    auth:\n      password: 0x10\n"},
			nil, "",
			"DIR/secure.yaml:4: password is taken for a number as it is written: put it in quotes",
		},
		{"a named file that is not there", nil, []string{"OS_CLIENT_CONFIG_FILE=/nonexistent/clouds.yaml"}, "", "OS_CLIENT_CONFIG_FILE: /nonexistent/clouds.yaml cannot be read: no such file or directory"},
		{"a named secret file that is not there", map[string]string{"clouds.yaml": clouds}, []string{"OS_CLIENT_SECURE_FILE=/nonexistent"}, "", "OS_CLIENT_SECURE_FILE: /nonexistent cannot be read: no such file or directory"},
		{
			"a region that is not there",
			map[string]string{"clouds.yaml": clouds + "      password: x\n    regions: [One, two]\n"},
			nil, "one",
			`DIR/clouds.yaml:2: there is no region "one" in this cloud, only One, two; mind upper and lower case`,
		},
		{
			"a profile of ours that is a list",
			map[string]string{"clouds.yaml": "clouds:\n  a: {profile: x}\n", "clouds-public.yaml": "public-clouds:\n  x: []\n"},
			nil, "",
			`DIR/clouds-public.yaml:2: profile "x" must be a mapping`,
		},
		{"a mistake in the environment", map[string]string{"clouds.yaml": clouds + "      password: x\n"}, []string{"OS_FORCE_IPV4=perhaps"}, "", "OS_FORCE_IPV4: force_ipv4 must be true or false"},
		{"no file", nil, nil, "", `clouds.yaml: there is no cloud "a"; there is none in DIR, and OS_CLIENT_CONFIG_FILE may name one`},
	} {
		p := write(t, c.files, c.environ...)
		want := strings.ReplaceAll(c.want, "DIR", p.Dirs[0])
		_, err := Load(p, "a", c.region)
		if err == nil || !strings.Contains(err.Error()+"\n", want+"\n") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got\n%v\nwant\n%s", c.name, err, want)
		}
	}
}
