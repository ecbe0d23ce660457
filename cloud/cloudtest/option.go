package cloudtest

import (
	"slices"
	"testing"

	"poold/cloud"
)

// Made is what a cloud itself says an instance was made with; the driver does
// not ask for it.
type Made struct {
	KeyName        string
	SecurityGroups []string
	Tags           []string
	ServerGroupID  string
	ConfigDrive    bool
	FromVolume     bool
	Properties     map[string]string
}

// publicKey is a key that nobody has the other half of.
const publicKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKur4e4eBhpuGBbUoumM0vTc3aA2U7D11bZl3BJXKguE suite"

// option is something that an instance can be made with.
type option struct {
	name string
	// able tells whether the environment has what it needs; nil, always.
	able func(s *subject) bool
	// ask asks for it, and check tells whether it was done.
	ask   func(s *subject, spec *cloud.BatchSpec)
	check func(s *subject, i cloud.Instance, m Made) bool
}

func options() []option { return append(plainOptions(), rareOptions()...) }

// plainOptions are those that every cloud has.
func plainOptions() []option {
	return []option{
		{
			name:  "a zone",
			able:  func(s *subject) bool { return s.Zone != "" },
			ask:   func(s *subject, spec *cloud.BatchSpec) { spec.AZ = s.Zone },
			check: func(s *subject, i cloud.Instance, _ Made) bool { return i.AZ == s.Zone },
		},
		{
			name:  "a config drive",
			ask:   func(_ *subject, spec *cloud.BatchSpec) { spec.ConfigDrive = new(true) },
			check: func(_ *subject, _ cloud.Instance, m Made) bool { return m.ConfigDrive },
		},
		{
			name:  "no config drive",
			ask:   func(_ *subject, spec *cloud.BatchSpec) { spec.ConfigDrive = new(false) },
			check: func(_ *subject, _ cloud.Instance, m Made) bool { return !m.ConfigDrive },
		},
		{
			name: "properties and user data",
			ask: func(_ *subject, spec *cloud.BatchSpec) {
				spec.Properties = map[string]string{"a.b": "c d", cloud.KeyInstallation: "stolen"}
				spec.UserData = "#cloud-config\n{}\n"
			},
			check: func(s *subject, _ cloud.Instance, m Made) bool {
				return m.Properties["a.b"] == "c d" && m.Properties[cloud.KeyInstallation] == s.Installation
			},
		},
		{
			name: "a security group",
			ask:  func(_ *subject, spec *cloud.BatchSpec) { spec.SecurityGroups = []string{"default"} },
			check: func(_ *subject, _ cloud.Instance, m Made) bool {
				return slices.Equal(m.SecurityGroups, []string{"default"})
			},
		},
		{
			name: "a key pair of ours",
			able: func(s *subject) bool { _, ok := s.Driver.(cloud.KeyPairer); return ok && s.DropKeyPair != nil },
			ask: func(s *subject, spec *cloud.BatchSpec) {
				spec.KeyName = s.keyPair()
			},
			check: func(s *subject, _ cloud.Instance, m Made) bool {
				return m.KeyName == cloud.KeyPairName(s.Installation, publicKey)
			},
		},
	}
}

// rareOptions are those that a cloud may lack.
func rareOptions() []option {
	return []option{
		{
			name: "tags",
			able: func(s *subject) bool { return s.Tags },
			ask:  func(_ *subject, spec *cloud.BatchSpec) { spec.Tags = []string{"ci", "team: x"} },
			check: func(_ *subject, _ cloud.Instance, m Made) bool {
				return slices.Equal(m.Tags, []string{"ci", "team: x"})
			},
		},
		{
			name: "tags, and the cloud's own network",
			able: func(s *subject) bool { return s.Tags && !s.Networks },
			ask: func(_ *subject, spec *cloud.BatchSpec) {
				spec.Tags, spec.Networks = []string{"ci"}, nil
			},
			check: func(_ *subject, i cloud.Instance, m Made) bool { return len(m.Tags) == 1 && len(i.Addresses) > 0 },
		},
		{
			name:  "a server group by name",
			able:  hasServerGroup,
			ask:   func(s *subject, spec *cloud.BatchSpec) { spec.ServerGroup = s.ServerGroup },
			check: func(s *subject, _ cloud.Instance, m Made) bool { return m.ServerGroupID == s.ServerGroupID },
		},
		{
			name:  "a server group by id",
			able:  hasServerGroup,
			ask:   func(s *subject, spec *cloud.BatchSpec) { spec.ServerGroup = s.ServerGroupID },
			check: func(s *subject, _ cloud.Instance, m Made) bool { return m.ServerGroupID == s.ServerGroupID },
		},
		{
			name: "a server group and hints",
			able: hasServerGroup,
			ask: func(s *subject, spec *cloud.BatchSpec) {
				spec.Hints = map[string]string{"group": s.ServerGroupID, "of_our_own": "7"}
			},
			check: func(s *subject, _ cloud.Instance, m Made) bool { return m.ServerGroupID == s.ServerGroupID },
		},
		{
			name:  "a volume to boot from",
			able:  func(s *subject) bool { return s.Volumes },
			ask:   func(_ *subject, spec *cloud.BatchSpec) { spec.BootFromVolume, spec.VolumeGB = true, 1 },
			check: func(_ *subject, _ cloud.Instance, m Made) bool { return m.FromVolume },
		},
	}
}

func hasServerGroup(s *subject) bool { return s.ServerGroup != "" }

// RunOptions is the part of [Run] that tries each option of an instance, with
// a batch of two, since a batch must be whole with every one of them.
func RunOptions(t *testing.T, open func(t *testing.T) Env) {
	t.Helper()
	for _, o := range options() {
		t.Run("instances can be made with "+o.name, func(t *testing.T) {
			s := &subject{Env: open(t), t: t}
			if s.Look == nil || o.able != nil && !o.able(s) {
				t.Skip("this environment lacks what it needs")
			}
			t.Cleanup(s.clean)
			spec := s.spec(2)
			o.ask(s, &spec)
			for _, i := range s.create(spec) {
				if made := s.Look(i.ID); !o.check(s, i, made) {
					t.Errorf("it was not done: %+v is %+v", spec, made)
				}
				if i.Mark != spec.Mark {
					t.Errorf("the mark is %+v", i.Mark)
				}
			}
		})
	}
}

// refusedOptions are specs that a cloud must refuse, with the kind of each.
func refusedOptions(s *subject) {
	for _, c := range []struct {
		name   string
		change func(*cloud.BatchSpec)
		kind   cloud.Kind
	}{
		{"unknown key pair", func(b *cloud.BatchSpec) { b.KeyName = "no-such-key" }, cloud.Invalid},
		{"unknown security group", func(b *cloud.BatchSpec) { b.SecurityGroups = []string{"no-such-group"} }, cloud.Invalid},
		{"unknown server group", func(b *cloud.BatchSpec) { b.ServerGroup = "no-such-group" }, cloud.Invalid},
		{"unknown server group's id", func(b *cloud.BatchSpec) { b.ServerGroup = newUUID() }, cloud.Invalid},
		{"unknown network's id", func(b *cloud.BatchSpec) { b.Networks = []string{newUUID()} }, cloud.Invalid},
		{"unusable property", func(b *cloud.BatchSpec) { b.Properties = map[string]string{"a/b": "c"} }, cloud.Invalid},
		// Other zones may do, and this one again later.
		{"zone that is gone", func(b *cloud.BatchSpec) { b.AZ = "no-such-zone" }, cloud.Capacity},
	} {
		if s.Lent && c.name == "unusable property" {
			continue // what is lent has no metadata
		}
		spec := s.spec(2)
		c.change(&spec)
		s.is(c.name, s.Driver.Create(s.t.Context(), spec), c.kind)
		if made := s.batch(spec); len(made) > 0 {
			s.t.Errorf("%s: %d instances were made", c.name, len(made))
		}
	}
}

// keyPair brings a key pair into the cloud, until the test ends.
func (s *subject) keyPair() string {
	s.t.Helper()
	d, ok := s.Driver.(cloud.KeyPairer)
	if !ok {
		s.t.Fatal("no key pairs")
	}
	name := cloud.KeyPairName(s.Installation, publicKey)
	if err := d.EnsureKeyPair(s.t.Context(), name, publicKey); err != nil {
		s.t.Fatalf("key pair: %v", err)
	}
	s.t.Cleanup(func() { s.DropKeyPair(name) })
	return name
}

// ownKeyPair makes a key pair once, whoever else has made it before, and again
// if a create shows that it is gone.
func ownKeyPair(s *subject) {
	name := s.keyPair()
	sent := s.sent()
	for range 3 {
		s.keyPair()
	}
	if s.sent() != sent {
		s.t.Error("a key pair that is known was asked for again")
	}
	d, ok := s.Driver.(cloud.KeyPairer)
	if !ok {
		s.t.Fatal("no key pairs")
	}
	s.is("a key pair without our mark", d.EnsureKeyPair(s.t.Context(), "lab-key-2", publicKey), cloud.Invalid)
	s.DropKeyPair(name)
	spec := s.spec(1)
	spec.KeyName = name
	s.is("create with a key pair that is gone", s.Driver.Create(s.t.Context(), spec), cloud.Invalid)
	s.keyPair()
	s.create(spec)
	if s.Again != nil {
		// Another process of ours knows nothing of it, and finds it there.
		s.Driver = s.Again()
		s.keyPair()
	}
	s.sweepKeyPair(name)
}

// sweepKeyPair finds a key pair of ours and removes it, and no other.
func (s *subject) sweepKeyPair(name string) {
	s.t.Helper()
	d, ok := s.Driver.(cloud.Sweeper)
	if !ok {
		return
	}
	is := func(r cloud.Resource) bool { return r.ID == name && r.Mark.Installation == s.Installation }
	found, err := d.Resources(s.t.Context(), cloud.KeyPair)
	if err != nil || !slices.ContainsFunc(found, is) {
		s.t.Errorf("key pairs of ours: got %+v, %v, without %s", found, err, name)
	}
	theirs := cloud.KeyPairName(s.OtherInstallation, publicKey)
	s.is("removing another's key pair", d.Remove(s.t.Context(), cloud.KeyPair, theirs), cloud.Conflict)
	if err := d.Remove(s.t.Context(), cloud.KeyPair, name); err != nil {
		s.t.Errorf("remove a key pair: %v", err)
	}
	if found, err = d.Resources(s.t.Context(), cloud.KeyPair); err != nil || slices.ContainsFunc(found, is) {
		s.t.Errorf("key pairs of ours: got %+v, %v, with %s that was removed", found, err, name)
	}
}

func hasKeyPairs(s *subject) bool {
	_, ok := s.Driver.(cloud.KeyPairer)
	return ok && s.DropKeyPair != nil
}
