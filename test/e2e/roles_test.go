package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"poold/client"
	"poold/pool"
	"poold/store/kv"
	"poold/store/kv/etcdkv"
	"poold/test/demo"
	"poold/test/etcd"
	"poold/test/proc"
)

// secured is a cluster that wants certificates and knows the users of
// docs/security.md.
type secured struct {
	*etcd.Cluster

	authority *etcd.Authority
	// nobody is the certificate of whoever logs in with a password.
	nobody etcdkv.TLSFiles
}

// newSecured runs the commands of the document, as they are there.
func newSecured(t *testing.T) *secured {
	t.Helper()
	authority := etcd.NewAuthority(t)
	files := authority.Issue("nobody")
	s := &secured{
		Cluster:   etcd.StartCluster(t, etcd.Options{Members: 3, Files: files, Args: []string{"--bcrypt-cost", "4"}}),
		authority: authority, nobody: files,
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"poold", "viewer", "operator", "root"} {
		if err := os.WriteFile(filepath.Join(dir, name+".password"), []byte(passwordOf(name)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	blocks := strings.Split(string(text), "```sh\n")[1:]
	if len(blocks) != 2 {
		t.Fatalf("%d scripts in the document, want two", len(blocks))
	}
	for _, block := range blocks {
		script, _, _ := strings.Cut(block, "```")
		cmd := exec.CommandContext(t.Context(), "sh", "-euc", script)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), s.Environment()...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s\n%s", err, out, script)
		}
		s.User = "root:" + passwordOf("root") // from "auth enable" on
	}
	return s
}

func passwordOf(user string) string { return "secret-of-" + user }

// environment is that of poolctl for a user.
func (s *secured) environment(user string) []string {
	return []string{
		etcdkv.EndpointsVariable + "=" + strings.Join(s.Endpoints(), ","), etcdkv.CAVariable + "=" + s.nobody.CA,
		etcdkv.CertVariable + "=" + s.nobody.Cert, etcdkv.KeyVariable + "=" + s.nobody.Key,
		etcdkv.UserVariable + "=" + user, etcdkv.PasswordVariable + "=" + passwordOf(user),
	}
}

// open connects as the owner of a certificate, or as a user.
func (s *secured) open(t *testing.T, settings etcdkv.Settings) *etcdkv.KV {
	t.Helper()
	settings.Endpoints = s.Endpoints()
	cfg, err := settings.Config()
	if err != nil {
		t.Fatal(err)
	}
	db, err := etcdkv.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // etcd goes, too
	return db
}

// Everybody can do with the rights of docs/security.md what is theirs, and
// nothing else.
func TestRoles(t *testing.T) {
	t.Parallel()
	s := newSecured(t)
	site := demo.NewSiteOn(t, poold(), root, fmt.Sprintf(
		"{endpoints: [%s], lease-ttl: 5s, username: poold, password: %s, tls: {ca: %q, cert: %q, key: %q}}",
		strings.Join(s.Endpoints(), ", "), passwordOf("poold"), s.nobody.CA, s.nobody.Cert, s.nobody.Key))
	peer := site.Run(poold())
	w := &world{t: t, web: site.Web, clouds: site.Clouds.Clouds, needs: []*proc.Process{peer, site.Clouds.Process}}
	for _, m := range s.Members {
		w.needs = append(w.needs, m.Process)
	}
	site.AwaitReady(peer)

	ci := s.open(t, etcdkv.Settings{Files: s.authority.Issue("myci")})
	mine, err := client.New(ci, "", "myci")
	if err != nil {
		t.Fatal(err)
	}
	r, err := mine.Create(t.Context(), "job", pool.Request{Labels: []string{demo.Small}}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	a, err := r.Wait(t.Context())
	if err != nil || a.State != pool.AllocationFulfilled {
		t.Fatalf("the client got %+v, %v", a, err)
	}
	s.clientCannot(t, ci)
	w.readerCannot(s.environment("viewer"), string(a.Nodes[0].ID))
	w.operatorCan(s.environment("operator"))
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	w.await("the node of the client is gone", answerLimit, func() (string, bool) {
		out, _ := w.poolctlAs(s.environment("viewer"), exitDone, "node", "show", string(a.Nodes[0].ID), "-o", "json")
		return out, strings.Contains(out, `"state": "deleted"`)
	})
	if text := peer.Output(); strings.Contains(text, passwordOf("poold")) || strings.Contains(text, "permission denied") {
		t.Error("poold's log has its password, or something is denied to poold")
	}
}

// clientCannot tries what is not a client's.
func (s *secured) clientCannot(t *testing.T, ci *etcdkv.KV) {
	t.Helper()
	const prefix = "/poold/v1/"
	own := s.open(t, etcdkv.Settings{Files: s.nobody, Username: "poold", Password: passwordOf("poold")})
	lease, _, err := own.Grant(t.Context(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"requests/other/job", "allocations/other/job", "requests/myci2/job", "allocations/myci2/job"} {
		if _, _, err := own.Commit(t.Context(), kv.Txn{Then: []kv.Op{kv.PutLeased(prefix+key, []byte(`{"v":1}`), lease)}}); err != nil {
			t.Fatal(err)
		}
	}
	denied := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: %v, want that it is denied", what, err)
		}
	}
	for _, key := range []string{
		"allocations/other/job", "requests/other/job", "allocations/myci2/job", "installation", "nodes/demo-north/x", "freeze",
	} {
		_, err := ci.Get(t.Context(), prefix+key)
		denied("get "+key, err)
	}
	for _, key := range []string{
		"requests/other/new", "requests/myci2/new", "allocations/myci/job", "allocations/other/job", "commands/c", "nodes/demo-north/x",
		"owners/allocator", "members/m", "freeze", "drains/d", "images/i/pause", "installation", "requests/other/job",
	} {
		for _, op := range []kv.Op{kv.Put(prefix+key, nil), kv.Delete(prefix + key)} {
			_, _, err := ci.Commit(t.Context(), kv.Txn{Then: []kv.Op{op}})
			denied(fmt.Sprintf("change %s, delete %v", key, op.Delete), err)
		}
	}
	_, _, err = ci.Commit(t.Context(), kv.Txn{
		If: []kv.Cond{kv.Absent(prefix + "allocations/other/job")}, Then: []kv.Op{kv.Put(prefix+"requests/myci/x", nil)},
	})
	denied("compare another's answer", err)
	for _, key := range []string{"", "allocations/", "allocations/other/", "requests/", "nodes/"} {
		_, _, err := ci.List(t.Context(), prefix+key)
		denied("list "+key, err)
		b := <-ci.Watch(t.Context(), prefix+key, 0)
		denied("watch "+key, b.Err)
	}
	denied("revoke another's lease", ci.Revoke(t.Context(), lease))
	if _, err := own.Get(t.Context(), prefix+"requests/other/job"); err != nil {
		t.Errorf("the request of another: %v", err)
	}
	_, _, err = own.Commit(t.Context(), kv.Txn{Then: []kv.Op{kv.Put("/elsewhere", nil)}})
	denied("poold writes elsewhere", err)
	if err := own.Revoke(t.Context(), lease); err != nil {
		t.Error(err)
	}
}

// readerCannot looks at everything, and tries to change something.
func (w *world) readerCannot(env []string, node string) {
	w.t.Helper()
	for _, noun := range []string{"node", "request", "image", "upload", "provider", "label", "peer", "leak"} {
		w.poolctlAs(env, exitDone, noun, "list")
	}
	peer, _ := w.poolctlAs(env, exitDone, "peer", "list", "-o", "name")
	before, _ := w.poolctlAs(env, exitDone, "node", "show", node, "-o", "json")
	for _, line := range []string{
		"node delete --force " + node, "node hold " + node, "request create --label " + demo.Small + " --id x", "request delete myci/job",
		"freeze --reason x", "peer drain " + peer + " --reason x", "image pause ubuntu-noble --reason x", "image build ubuntu-noble",
	} {
		if _, why := w.poolctlAs(env, exitFailed, strings.Fields(line)...); !strings.Contains(why, "permission denied") {
			w.t.Errorf("poolctl %s: %s", line, why)
		}
	}
	if after, _ := w.poolctlAs(env, exitDone, "node", "show", node, "-o", "json"); after != before {
		w.t.Errorf("the node was\n%s and is\n%s", before, after)
	}
}

// operatorCan does everything that poolctl does.
func (w *world) operatorCan(env []string) {
	w.t.Helper()
	out, _ := w.poolctlAs(env, exitDone, strings.Fields("request create --client hand --id one --wait -o json --label "+demo.Small)...)
	peer, _ := w.poolctlAs(env, exitDone, "peer", "list", "-o", "name")
	_, rest, _ := strings.Cut(out, `"id": "`)
	node, _, _ := strings.Cut(rest, `"`)
	for _, line := range []string{
		"node hold " + node + " --reason look", "node unhold " + node, "request delete hand/one",
		"freeze --reason x", "unfreeze", "peer drain " + peer + " --reason x", "peer undrain " + peer,
		"image pause ubuntu-noble --reason x", "image unpause ubuntu-noble",
	} {
		w.poolctlAs(env, exitDone, strings.Fields(line)...)
	}
	ready, _ := w.poolctlAs(env, exitDone, "node", "list", "--state", "ready", "-o", "name")
	if names := strings.Fields(ready); len(names) > 0 {
		w.poolctlAs(env, exitDone, "node", "delete", names[0])
	} else {
		w.t.Error("no ready node to delete")
	}
}
