package archtest

import (
	"slices"
	"strings"
	"testing"
)

// Every package imports only what its row of the table names, and a package
// without a row is one that nobody has thought about.
func TestImportsFollowTheTable(t *testing.T) {
	for _, s := range sources(t) {
		if !s.hasCode {
			continue
		}
		rule, ok := rowOf(s.dir)
		if !ok {
			t.Errorf("package %s has no row in the table", s.dir)
			continue
		}
		for _, name := range s.imports {
			if reason := rule.refuses(name); reason != "" {
				t.Errorf("%s imports %s: %s", s.dir, name, reason)
			}
		}
	}
}

// A row for a package that is not there, or that allows one without a row,
// describes another program than this one.
func TestTableNamesOnlyWhatExists(t *testing.T) {
	var have []string
	for _, s := range sources(t) {
		have = append(have, s.dir)
	}
	for _, r := range table() {
		if !slices.ContainsFunc(have, func(dir string) bool { return covers(r.pkg, dir) }) {
			t.Errorf("the table has a row for %s, which does not exist", r.pkg)
		}
		for _, name := range r.project {
			if _, ok := rowOf(name); !ok && name != "*" {
				t.Errorf("the row of %s allows %s, which has no row", r.pkg, name)
			}
		}
	}
}

// Arrows point down only: no package can reach itself through the table.
func TestTableHasNoCycle(t *testing.T) {
	for _, r := range table() {
		if !strings.Contains(r.pkg, "*") && reaches(r, r.pkg, nil) {
			t.Errorf("the table lets %s import itself in a circle", r.pkg)
		}
	}
}

// A rule that refuses nothing would pass every test above.
func TestTableRefuses(t *testing.T) {
	refused := []struct{ from, to string }{
		{"pool", "poold/config"},
		{"pool", "go.uber.org/zap"},
		{"config", "net/http"},
		{"config", "poold/store"},
		{"allocator", "poold/launcher"},
		{"allocator", "poold/store"},
		{"launcher", "poold/config"},
		{"launcher", "poold/cloud/openstack"},
		{"builder", "poold/cloud"},
		{"uploader", "poold/builder"},
		{"web", "poold/store"},
		{"cloud", "poold/cloud/sim"},
		{"cloud/sim", "github.com/gophercloud/gophercloud/v2"},
		{"cloud/sim", "net/http/httptest"},
		{"cloud/guard", "golang.org/x/crypto/ssh"},
		{"store", "go.etcd.io/etcd/client/v3"},
		{"store/kv/etcdkv", "go.etcd.io/etcd/server/v3/embed"},
		{"client", "poold/store"},
		{"cmd/poold", "poold/launcher"},
		{"cmd/poolctl", "poold/daemon"},
		{"daemon", "poold/test/sim"},
		{"daemon", "go.etcd.io/etcd/client/v3"},
	}
	for _, c := range refused {
		rule, ok := rowOf(c.from)
		if !ok {
			t.Errorf("no row for %s", c.from)
		} else if rule.refuses(c.to) == "" {
			t.Errorf("the table lets %s import %s", c.from, c.to)
		}
	}
	for _, c := range []struct{ from, to string }{
		{"web", "net/http/pprof"},
		{"daemon", "poold/cloud/openstack"},
		{"cloud/openstack", "github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"},
		{"test/sim/history", "poold/allocator"},
		{"pool", "encoding/json"},
	} {
		rule, _ := rowOf(c.from)
		if reason := rule.refuses(c.to); reason != "" {
			t.Errorf("the table does not let %s import %s: %s", c.from, c.to, reason)
		}
	}
}

// refuses says why the package may not import name, and nothing if it may.
func (r row) refuses(name string) string {
	within := func(prefix string) bool { return prefix == "*" || within(prefix, name) }
	switch {
	case within(module) && name != module:
		return r.refusesProject(strings.TrimPrefix(name, module+"/"))
	case slices.ContainsFunc(r.outside, within):
		return ""
	case slices.ContainsFunc(guarded(), within):
		return "only these rows of the table may: " + strings.Join(holders(name), ", ")
	case strings.Contains(strings.Split(name, "/")[0], "."):
		return "its row does not name that module"
	}
	return ""
}

// refusesProject is refuses for a package of this project. What is under
// test/ is for tests only, wherever a row allows everything.
func (r row) refusesProject(name string) string {
	forTests := within("test", name) && !within("test", r.pkg)
	if !forTests && slices.ContainsFunc(r.project, func(p string) bool { return p == "*" || p == name }) {
		return ""
	}
	return "no arrow leads there"
}

// rowOf finds the row that a package is held to.
func rowOf(pkg string) (row, bool) {
	i := slices.IndexFunc(table(), func(r row) bool { return covers(r.pkg, pkg) })
	if i < 0 {
		return row{}, false
	}
	return table()[i], true
}

// holders are the packages whose row names an outside package.
func holders(name string) []string {
	var found []string
	for _, r := range table() {
		if slices.ContainsFunc(r.outside, func(p string) bool { return within(p, name) }) {
			found = append(found, r.pkg)
		}
	}
	return found
}

// covers says whether a name of the table means the package.
func covers(name, pkg string) bool {
	below, wild := strings.CutSuffix(name, "*")
	return name == pkg || wild && strings.HasPrefix(pkg, below)
}

// within says whether name is prefix or a package below it.
func within(prefix, name string) bool {
	return name == prefix || strings.HasPrefix(name, prefix+"/")
}

// reaches says whether the arrows lead from a row to a package.
func reaches(r row, goal string, seen []string) bool {
	for _, name := range r.project {
		next, ok := rowOf(name)
		if name == goal || ok && !slices.Contains(seen, name) && reaches(next, goal, append(seen, name)) {
			return true
		}
	}
	return false
}
