package pool

// Unlimited is the value of a limit that does not limit, as OpenStack writes
// it.
const Unlimited = -1

// Resources is an amount of everything that a cloud counts. The zero value is
// nothing.
type Resources struct {
	Instances   int64 `json:"instances,omitempty"`
	Cores       int64 `json:"cores,omitempty"`
	RAMMiB      int64 `json:"ram_mib,omitempty"`
	Volumes     int64 `json:"volumes,omitempty"`
	VolumeGB    int64 `json:"volume_gb,omitempty"`
	FloatingIPs int64 `json:"floating_ips,omitempty"`
	Ports       int64 `json:"ports,omitempty"`
}

// Add returns the sum of r and o.
func (r Resources) Add(o Resources) Resources {
	return r.combine(o, func(a, b int64) int64 { return a + b })
}

// Sub returns r less o, nowhere below zero: what is left of r, or what others
// use when o is our own share of r.
func (r Resources) Sub(o Resources) Resources {
	return r.combine(o, func(a, b int64) int64 { return max(0, a-b) })
}

// Most returns the larger of r and o in each resource.
func (r Resources) Most(o Resources) Resources {
	return r.combine(o, func(a, b int64) int64 { return max(a, b) })
}

// Times returns r, n times.
func (r Resources) Times(n int64) Resources {
	return r.combine(r, func(a, _ int64) int64 { return a * n })
}

func (r Resources) combine(o Resources, f func(a, b int64) int64) Resources {
	return Resources{
		Instances:   f(r.Instances, o.Instances),
		Cores:       f(r.Cores, o.Cores),
		RAMMiB:      f(r.RAMMiB, o.RAMMiB),
		Volumes:     f(r.Volumes, o.Volumes),
		VolumeGB:    f(r.VolumeGB, o.VolumeGB),
		FloatingIPs: f(r.FloatingIPs, o.FloatingIPs),
		Ports:       f(r.Ports, o.Ports),
	}
}

// Limits is a bound on each resource; [Unlimited] means none. The zero value
// allows nothing: start from [NoLimits].
type Limits struct {
	Instances   int64 `json:"instances"`
	Cores       int64 `json:"cores"`
	RAMMiB      int64 `json:"ram_mib"`
	Volumes     int64 `json:"volumes"`
	VolumeGB    int64 `json:"volume_gb"`
	FloatingIPs int64 `json:"floating_ips"`
	Ports       int64 `json:"ports"`
}

// NoLimits returns limits that allow everything.
func NoLimits() Limits {
	return Limits{
		Instances: Unlimited, Cores: Unlimited, RAMMiB: Unlimited, Volumes: Unlimited,
		VolumeGB: Unlimited, FloatingIPs: Unlimited, Ports: Unlimited,
	}
}

// Lowest is the lower of both limits of each resource.
func (l Limits) Lowest(o Limits) Limits {
	lower := func(a, b int64) int64 {
		if a < 0 || b >= 0 && b < a {
			return b
		}
		return a
	}
	return Limits{
		Instances: lower(l.Instances, o.Instances), Cores: lower(l.Cores, o.Cores), RAMMiB: lower(l.RAMMiB, o.RAMMiB),
		Volumes: lower(l.Volumes, o.Volumes), VolumeGB: lower(l.VolumeGB, o.VolumeGB),
		FloatingIPs: lower(l.FloatingIPs, o.FloatingIPs), Ports: lower(l.Ports, o.Ports),
	}
}

// Short names the first resource of which used plus want exceeds the limit,
// in a fixed order, or returns "" if all of it fits. A resource that want does
// not ask for is never short, however much of it is used already.
func (l Limits) Short(used, want Resources) string {
	for _, c := range []struct {
		name              string
		limit, used, want int64
	}{
		{"instances", l.Instances, used.Instances, want.Instances},
		{"cores", l.Cores, used.Cores, want.Cores},
		{"ram", l.RAMMiB, used.RAMMiB, want.RAMMiB},
		{"volumes", l.Volumes, used.Volumes, want.Volumes},
		{"volume-gb", l.VolumeGB, used.VolumeGB, want.VolumeGB},
		{"floating-ips", l.FloatingIPs, used.FloatingIPs, want.FloatingIPs},
		{"ports", l.Ports, used.Ports, want.Ports},
	} {
		if c.limit >= 0 && c.want > 0 && c.used+c.want > c.limit {
			return c.name
		}
	}
	return ""
}
