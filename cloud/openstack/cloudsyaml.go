package openstack

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// text is a scalar of a file, with its place in it for errors.
type text struct {
	value string
	file  string
	line  int
}

// UnmarshalYAML takes a scalar of any type as it is written.
func (t *text) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: a single value is expected here", n.Line)
	}
	*t = text{line: n.Line}
	if n.Tag != "!!null" {
		t.value = n.Value
	}
	return nil
}

// errorf is an error at the text's place.
func (t *text) errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", t.file, t.line, fmt.Errorf(format, args...))
}

// cloudEntry is what is read of one cloud. What a later layer (secure.yaml,
// the values of a region) says replaces what an earlier one said, key by key.
// Keys that are not here do not concern poold.
type cloudEntry struct {
	Profile    text         `yaml:"profile"`
	CloudAlias text         `yaml:"cloud"`
	AuthType   text         `yaml:"auth_type"`
	Auth       authEntry    `yaml:"auth"`
	RegionName text         `yaml:"region_name"`
	Regions    []yaml.Node  `yaml:"regions"`
	Interface  text         `yaml:"interface"`
	Endpoint   text         `yaml:"endpoint_type"`
	Verify     *bool        `yaml:"verify"`
	Insecure   *bool        `yaml:"insecure"`
	CACert     text         `yaml:"cacert"`
	Cert       text         `yaml:"cert"`
	Key        text         `yaml:"key"`
	APITimeout text         `yaml:"api_timeout"`
	Format     text         `yaml:"image_format"`
	FIPSource  text         `yaml:"floating_ip_source"`
	Networks   []netSetting `yaml:"networks"`
	Private    *bool        `yaml:"private"`
	ForceIPv4  *bool        `yaml:"force_ipv4"`

	ComputeURL text `yaml:"compute_endpoint_override"`
	ImageURL   text `yaml:"image_endpoint_override"`
	NetworkURL text `yaml:"network_endpoint_override"`
	VolumeURL  text `yaml:"volume_endpoint_override"`
	BlockURL   text `yaml:"block_storage_endpoint_override"`
	ObjectURL  text `yaml:"object_store_endpoint_override"`
}

// authEntry is the auth mapping of a cloud.
type authEntry struct {
	AuthURL           text `yaml:"auth_url"`
	Username          text `yaml:"username"`
	UserID            text `yaml:"user_id"`
	Password          text `yaml:"password"`
	Token             text `yaml:"token"`
	ProjectName       text `yaml:"project_name"`
	ProjectID         text `yaml:"project_id"`
	TenantName        text `yaml:"tenant_name"`
	TenantID          text `yaml:"tenant_id"`
	DomainName        text `yaml:"domain_name"`
	DomainID          text `yaml:"domain_id"`
	UserDomainName    text `yaml:"user_domain_name"`
	UserDomainID      text `yaml:"user_domain_id"`
	ProjectDomainName text `yaml:"project_domain_name"`
	ProjectDomainID   text `yaml:"project_domain_id"`
	CredentialID      text `yaml:"application_credential_id"`
	CredentialName    text `yaml:"application_credential_name"`
	CredentialSecret  text `yaml:"application_credential_secret"`
}

// netSetting is what clouds.yaml says about a network that the cloud does not.
type netSetting struct {
	Name string `yaml:"name"`
	// RoutesExternally says whether its addresses can be reached from
	// everywhere; nil leaves it to what the cloud says.
	RoutesExternally *bool `yaml:"routes_externally"`
	// RoutesIPv4Externally says it of IPv4 alone.
	RoutesIPv4Externally *bool `yaml:"routes_ipv4_externally"`
	// NATDestination is where floating IPs lead.
	NATDestination bool `yaml:"nat_destination"`
	// NATSource is where floating IPs come from.
	NATSource bool `yaml:"nat_source"`
	// DefaultInterface is the network whose addresses come first.
	DefaultInterface bool `yaml:"default_interface"`
}

func (n *netSetting) routesIPv4() bool {
	routes := n.RoutesIPv4Externally
	if routes == nil {
		routes = n.RoutesExternally
	}
	return routes != nil && *routes
}

// load finds clouds.yaml and returns what it says about a cloud and region.
func load(cloudName, region string) (*settings, error) {
	path, err := findFile()
	if err != nil {
		return nil, err
	}
	main, err := entryOf(path, cloudName)
	if err != nil {
		return nil, err
	}
	if main == nil {
		return nil, fmt.Errorf("%s: there is no cloud %q", path, cloudName)
	}
	var e cloudEntry
	if err := e.overlay(path, main); err != nil {
		return nil, err
	}
	secret := filepath.Join(filepath.Dir(path), "secure.yaml")
	node, err := entryOf(secret, cloudName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if node != nil {
		if err := e.overlay(secret, node); err != nil {
			return nil, err
		}
	}
	here := text{file: path, line: main.Line}
	region, err = e.selectRegion(here, region)
	if err != nil {
		return nil, err
	}
	return e.settings(here, cloudName, region)
}

// findFile returns the first clouds.yaml of the usual places.
func findFile() (string, error) {
	if path := os.Getenv("OS_CLIENT_CONFIG_FILE"); path != "" {
		return path, nil
	}
	dirs := []string{".", "/etc/openstack"}
	if home, err := os.UserHomeDir(); err == nil {
		dirs = slices.Insert(dirs, 1, filepath.Join(home, ".config", "openstack"))
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, "clouds.yaml")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("there is no clouds.yaml in %s; OS_CLIENT_CONFIG_FILE may name one", strings.Join(dirs, ", "))
}

// entryOf returns the mapping of a cloud in a file, or nil if it has none.
func entryOf(path, cloudName string) (*yaml.Node, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read clouds.yaml: %w", err)
	}
	var doc struct {
		Clouds map[string]yaml.Node `yaml:"clouds"`
	}
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, located(path, err)
	}
	n, ok := doc.Clouds[cloudName]
	if !ok {
		return nil, nil //nolint:nilnil // a file need not have the cloud
	}
	if n.Kind == yaml.AliasNode {
		n = *n.Alias
	}
	if n.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d: cloud %q is not a mapping", path, n.Line, cloudName)
	}
	return &n, nil
}

// located puts the file before the line that the YAML library names. Only the
// first problem is told: the library's words may quote a value, which must
// not be a secret's neighbour in a long list.
func located(path string, err error) error {
	words := strings.TrimPrefix(err.Error(), "yaml: ")
	if te, ok := errors.AsType[*yaml.TypeError](err); ok {
		words = te.Errors[0]
	}
	if rest, ok := strings.CutPrefix(words, "line "); ok {
		return fmt.Errorf("%s:%s", path, rest)
	}
	return fmt.Errorf("%s: %s", path, words)
}

// overlay reads a layer over what is there already.
func (e *cloudEntry) overlay(path string, n *yaml.Node) error {
	if err := n.Decode(e); err != nil {
		return located(path, err)
	}
	for _, t := range e.texts() {
		if t.line > 0 && t.file == "" {
			t.file = path
		}
	}
	return nil
}

// texts are the scalars whose place is told in errors.
func (e *cloudEntry) texts() []*text {
	return []*text{
		&e.Profile, &e.CloudAlias, &e.AuthType, &e.RegionName, &e.Interface, &e.Endpoint,
		&e.APITimeout, &e.Format, &e.FIPSource, &e.Auth.AuthURL, &e.Auth.TenantName,
		&e.Auth.TenantID, &e.ComputeURL, &e.ImageURL, &e.NetworkURL, &e.VolumeURL,
		&e.BlockURL, &e.ObjectURL, &e.Cert, &e.Key,
	}
}

// selectRegion chooses the region and reads its values, if it has any.
func (e *cloudEntry) selectRegion(here text, want string) (string, error) {
	values := map[string]*yaml.Node{}
	for i := range e.Regions {
		name, v, err := regionOf(&e.Regions[i])
		if err != nil {
			return "", located(here.file, err)
		}
		values[name] = v
	}
	names := slices.Sorted(maps.Keys(values))
	if want == "" {
		want = e.RegionName.value
	}
	if want == "" && len(names) == 1 {
		want = names[0]
	}
	if len(names) == 0 {
		return want, nil
	}
	v, ok := values[want]
	switch {
	case want == "":
		return "", here.errorf("the cloud has several regions; name one of %s", strings.Join(names, ", "))
	case !ok:
		return "", here.errorf("the cloud has no region %q, only %s", want, strings.Join(names, ", "))
	case v != nil:
		return want, e.overlay(here.file, v)
	}
	return want, nil
}

// regionOf reads an entry of regions: a name, or a mapping of name and values.
func regionOf(n *yaml.Node) (string, *yaml.Node, error) {
	if n.Kind == yaml.ScalarNode {
		return n.Value, nil, nil
	}
	var r struct {
		Name   string    `yaml:"name"`
		Values yaml.Node `yaml:"values"`
	}
	if err := n.Decode(&r); err != nil {
		return "", nil, fmt.Errorf("region: %w", err)
	}
	if r.Name == "" {
		return "", nil, fmt.Errorf("line %d: a region without a name", n.Line)
	}
	if r.Values.Kind == 0 {
		return r.Name, nil, nil
	}
	return r.Name, &r.Values, nil
}
