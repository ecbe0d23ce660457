package sim

import (
	"cmp"
	"regexp"
	"slices"
	"sort"
	"time"
)

// ServerQuery says which servers to list.
type ServerQuery struct {
	// Since, unless it is zero, asks for the servers that changed since then,
	// deleted ones included.
	Since time.Time
	// Name is a regular expression that a part of the name matches; "" is any.
	Name string
	// Status is Nova's; "" is any.
	Status string
	// Marker is the last server of the page before, Limit the most servers of
	// this one; 0 is the cloud's own limit.
	Marker string
	Limit  int
}

// Servers returns a page of servers, the newest first, and whether there are
// more. The page is what the cloud says, which is not always true.
func (c *Cloud) Servers(now time.Time, q ServerQuery) ([]Server, bool, error) {
	c.lock(now)
	defer c.mu.Unlock()
	asOf := c.now
	if f := c.lasting(FaultStaleList, always); f != nil {
		asOf = asOf.Add(-f.Delay)
	}
	before := c.seq + 1
	if q.Marker != "" {
		s := c.servers[q.Marker]
		if s == nil {
			return nil, false, failf(statusBadRequest, "marker [%s] not found", q.Marker)
		}
		before = s.seq
	}
	if q.Limit <= 0 || q.Limit > c.cfg.PageLimit {
		q.Limit = c.cfg.PageLimit
	}
	all := c.existing(asOf)
	if !q.Since.IsZero() && !c.cfg.NoChangesSince {
		all = c.changes(q.Since)
	}
	var page []Server
	end, _ := slices.BinarySearchFunc(all, before, func(s *server, seq uint64) int { return cmp.Compare(s.seq, seq) })
	for i := end - 1; i >= 0; i-- {
		v, shown := c.shown(all[i], asOf, q)
		if !shown {
			continue
		}
		if len(page) == q.Limit {
			return page, true, nil
		}
		page = append(page, v)
	}
	// Nova cannot know that a full page is the last one.
	return page, len(page) == q.Limit, nil
}

// existing returns the servers that a plain list shows, in the order of
// creation: holes included, and those that went after asOf.
func (c *Cloud) existing(asOf time.Time) []*server {
	from := sort.Search(len(c.gone), func(i int) bool { return c.gone[i].gone.After(asOf) })
	if from == len(c.gone) {
		return c.live
	}
	all := slices.DeleteFunc(slices.Clone(c.live), func(s *server) bool { return !s.gone.IsZero() })
	return bySeq(append(all, c.gone[from:]...))
}

// changes returns what changed since a time, in the order of creation.
func (c *Cloud) changes(since time.Time) []*server {
	since = since.Truncate(time.Second)
	var all []*server
	for _, s := range c.live {
		if s.gone.IsZero() && !s.updated().Before(since) {
			all = append(all, s)
		}
	}
	for i := len(c.gone) - 1; i >= 0 && !c.gone[i].gone.Before(since); i-- {
		all = append(all, c.gone[i])
	}
	return bySeq(all)
}

// shown is a server as a list shows it, if it does.
func (c *Cloud) shown(s *server, asOf time.Time, q ServerQuery) (Server, bool) {
	v, existed := s.at(asOf)
	changes := !q.Since.IsZero() && !c.cfg.NoChangesSince
	switch {
	case !existed, c.down(s.cell), v.Status == "DELETED" && !changes:
		return v, false
	case changes && v.Updated.Before(q.Since.Truncate(time.Second)):
		return v, false
	}
	return v, (q.Status == "" || q.Status == v.Status) && matches(v.Name, q.Name)
}

// Server looks at one server. One that is gone is not found.
func (c *Cloud) Server(now time.Time, id string) (Server, error) {
	c.lock(now)
	defer c.mu.Unlock()
	s, err := c.find(id)
	if err != nil {
		return Server{}, err
	}
	v, _ := s.at(c.now)
	return v, nil
}

// Truth returns all servers that are there, the oldest first, whatever the
// lists say: for tests.
func (c *Cloud) Truth(now time.Time) []Server {
	c.lock(now)
	defer c.mu.Unlock()
	var all []Server
	for _, s := range c.live {
		if v, _ := s.at(c.now); s.gone.IsZero() {
			all = append(all, v)
		}
	}
	return all
}

func (c *Cloud) find(id string) (*server, error) {
	s := c.servers[id]
	if s == nil || !s.gone.IsZero() {
		return nil, failf(statusNotFound, "Instance %s could not be found.", id)
	}
	if c.down(s.cell) {
		return nil, failf(statusInternalError, "Unexpected API Error.")
	}
	return s, nil
}

func (c *Cloud) down(cell int) bool {
	return c.lasting(FaultCellDown, func(f *Fault) bool { return f.Cell == cell }) != nil
}

func bySeq(all []*server) []*server {
	slices.SortFunc(all, func(a, b *server) int { return cmp.Compare(a.seq, b.seq) })
	return all
}

func always(*Fault) bool { return true }

// matches tells whether a name matches a pattern, as MySQL would say.
func matches(name, pattern string) bool {
	if pattern == "" {
		return true
	}
	re, err := regexp.Compile(pattern)
	return err == nil && re.MatchString(name)
}
