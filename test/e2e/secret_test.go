package e2e

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"poold/test/collector"
	"poold/test/demo"
	"poold/test/proc"
	"poold/test/protocol"
)

// canary begins every secret that the test plants.
const canary = "c4nary-"

// secrets are what must appear nowhere: what the test plants, the same as base64,
// the password of the demo's clouds, and how the tokens of the simulator begin.
func secrets() []string { return []string{canary, "YzRuYXJ5", "demo-password", "sim-tok"} }

// Secrets that are given in any of the places for them are in no output of a
// full run, with everything logged that can be: logs, argv, etcd, pages, metrics,
// events, errors, what poolctl says, and what is left when SIGQUIT ends it.
func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	site := demo.NewSite(t, poold(), root)
	dir := t.TempDir()
	put := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	site.Amend(func(text string) string {
		text = strings.ReplaceAll(text, "    rate: 0.05\n", "    rate: 0.05\n    debug: http\n")
		return strings.ReplaceAll(text, "            flavor-name: small\n",
			"            flavor-name: small\n            userdata: "+canary+"userdata\n")
	})
	tokens, log := put("tokens", "ann "+canary+"token-of-ann-0123456789\n"), filepath.Join(dir, "audit.log")
	site.Amend(func(text string) string { return text + "  tokens: " + tokens + "\n  audit-log: " + log + "\n" })
	secure := put("secure.yaml", "diskimages: [{name: ubuntu-noble, env-vars: {TOKEN: "+canary+"build}}]\n")
	traces := collector.Start(t)
	peer := site.RunWith(poold(), []string{"-s", secure, "--log-level", "debug"}, "SOMETHING="+canary+"environment",
		"OTEL_EXPORTER_OTLP_ENDPOINT="+traces.URL, "OTEL_EXPORTER_OTLP_HEADERS=authorization="+canary+"header")
	w := &world{
		t: t, etcd: site.Etcd.Etcd, web: site.Web, clouds: site.Clouds.Clouds,
		needs: []*proc.Process{peer, site.Etcd.Process, site.Clouds.Process},
	}
	site.AwaitReady(peer)
	w.awaitMinReady()
	nodes := w.fulfilled(w.ask("secret", protocol.Want{Labels: []string{demo.Small}}), demo.Small)
	w.reach(nodes...)

	outputs, session := w.actAsAnn(nodes[0].ID, canary+"token-of-ann-0123456789", canary+"a-token-of-nobody")
	outputs["etcd"] = everything(t, site.Etcd.Etcd)
	kept, err := os.ReadFile(log)
	if outputs["audit log"] = string(kept); err != nil || !strings.Contains(outputs["audit log"], "a reason") {
		t.Errorf("the log of what humans did has %s, %v", kept, err)
	}
	argv, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", peer.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	outputs["argv"] = string(argv)
	for _, page := range []string{
		"/", "/readyz", "/metrics", "/api/v1/nodes", "/api/v1/requests", "/api/v1/images", "/api/v1/uploads", "/api/v1/providers",
		"/api/v1/labels", "/api/v1/peers", "/api/v1/events", "/events", "/peers", "/sign-in", "/node-list", "/dib-image-list", "/image-list", "/request-list",
	} {
		_, body, err := demo.Ask(t.Context(), "GET", site.Web+page)
		if err != nil {
			t.Fatal(err)
		}
		outputs[page] = string(body)
	}
	for _, args := range []string{"node list -o json", "image show ubuntu-noble", "peer list -o json", "upload list -o json"} {
		outputs["poolctl "+args] = w.poolctl(exitDone, strings.Fields(args)...)
	}
	// The crash dump: where every goroutine is.
	if err := syscall.Kill(peer.Pid(), syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	<-peer.Exited()
	outputs["log and crash dump"] = peer.Output()
	if outputs["traces"] = traces.Text(); !strings.Contains(outputs["traces"], demo.Small) {
		t.Error("no trace was told of")
	}
	for _, want := range []string{"goroutine ", "HTTP request", "/v3/auth/tokens", "signed in", "sign-in refused", "a reason"} {
		if !strings.Contains(peer.Output(), want) {
			t.Errorf("%q is not in the log: what was looked through is not all", want)
		}
	}
	maps.Copy(outputs, wrong(t, put, site))
	for name, text := range outputs {
		for _, secret := range append(secrets(), session) {
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("%s: %s in %q", name, secret, text[max(0, at-200):min(len(text), at+60)])
			}
		}
	}
	for _, p := range []*proc.Process{site.Clouds.Process, site.Etcd.Process} {
		p.Stop()
	}
}

// actAsAnn has ann hold a node with her token, in a program and in a browser, and
// somebody with a token that is wrong, and returns what they are shown, and her
// session.
func (w *world) actAsAnn(node, token, wrong string) (shown map[string]string, session string) {
	w.t.Helper()
	o := &operator{t: w.t, web: w.web, http: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	hold := fmt.Sprintf(`{"verb":"node-hold","target":%q,"reason":"a reason"}`, node)
	shown = map[string]string{
		"a wrong token":   o.want(http.StatusUnauthorized, http.MethodPost, "/api/v1/actions", hold, "Content-Type", jsonKind, "Authorization", "Bearer "+wrong),
		"an action":       o.want(http.StatusOK, http.MethodPost, "/api/v1/actions", hold, "Content-Type", jsonKind, "Authorization", "Bearer "+token),
		"a wrong sign-in": o.want(http.StatusUnauthorized, http.MethodPost, "/sign-in", url.Values{"token": {wrong}}.Encode(), "Content-Type", formKind),
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	o.http.Jar = jar
	shown["a sign-in"] = o.want(http.StatusSeeOther, http.MethodPost, "/sign-in", url.Values{"token": {token}}.Encode(), "Content-Type", formKind)
	shown["her page"] = o.want(http.StatusOK, http.MethodGet, "/nodes/"+node, "")
	if !strings.Contains(shown["her page"], `action="/act"`) {
		w.t.Error("ann is not signed in")
	}
	here, err := url.Parse(w.web)
	if err != nil {
		w.t.Fatal(err)
	}
	cookies := jar.Cookies(here)
	if len(cookies) != 1 {
		w.t.Fatalf("a session has the cookies %v", cookies)
	}
	return shown, cookies[0].Value
}

// wrong is what is said of files with secrets that cannot be used.
func wrong(t *testing.T, put func(name, text string) string, site *demo.Site) map[string]string {
	t.Helper()
	said := map[string]string{}
	good := put("good.yaml", "etcd: {endpoints: [\""+site.Etcd.Etcd+"\"]}\n")
	for name, text := range map[string]string{
		"a list":       "etcd: {password: [" + canary + "1]}\n",
		"a map":        "etcd: {password: {" + canary + "2: 1}}\n",
		"a syntax":     "etcd: {password: " + canary + "3: \"\n",
		"twice":        "etcd: {password: " + canary + "4, password: " + canary + "5}\n",
		"another type": "diskimages: [{name: x, env-vars: [" + canary + "6]}]\n",
		"binary":       "etcd: {password: !!binary " + canary + "7}\n",
	} {
		out, err := exec.CommandContext(t.Context(), poold(), "check", "-c", good, "-s", put("wrong.yaml", text)).CombinedOutput()
		if err == nil {
			t.Errorf("%s is taken", name)
		}
		said["check of "+name] = string(out)
	}
	// An etcd that knows no passwords refuses one.
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	secure := put("password.yaml", "etcd: {username: u, password: "+canary+"8}\n")
	out, err := exec.CommandContext(ctx, poold(), "-c", good, "-s", secure, "--log-level", "debug").CombinedOutput()
	if err == nil {
		t.Error("the password is taken")
	}
	said["a refused password"] = string(out)
	return said
}

// everything is all that is in etcd, past revisions not included.
func everything(t *testing.T, endpoint string) string {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: answerLimit})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	got, err := client.Get(t.Context(), "\x00", clientv3.WithFromKey())
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Kvs) < 10 {
		t.Errorf("only %d keys", len(got.Kvs))
	}
	var b strings.Builder
	for _, kv := range got.Kvs {
		fmt.Fprintf(&b, "%s %s\n", kv.Key, kv.Value)
	}
	return b.String()
}
