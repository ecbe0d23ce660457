package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"poold/store/kv/etcdkv"
	"poold/test/demo"
	"poold/test/etcd"
	"poold/test/proc"
	"poold/test/protocol"
)

const (
	formKind = "application/x-www-form-urlencoded"
	jsonKind = "application/json"
)

// operator is somebody who asks the web port, with a certificate or without.
type operator struct {
	t    *testing.T
	web  string
	http *http.Client
}

// operator is one with a certificate; nil is none.
func (w *world) operator(authority string, show *etcdkv.TLSFiles) *operator {
	w.t.Helper()
	pem, err := os.ReadFile(authority)
	if err != nil {
		w.t.Fatal(err)
	}
	conf := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13}
	conf.RootCAs.AppendCertsFromPEM(pem)
	if show != nil {
		pair, err := tls.LoadX509KeyPair(show.Cert, show.Key)
		if err != nil {
			w.t.Fatal(err)
		}
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil } // whoever asks
	}
	transport := &http.Transport{TLSClientConfig: conf}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &operator{t: w.t, web: w.web, http: &http.Client{
		Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// send makes a request; its head is pairs of a key and a value.
func (o *operator) send(method, path, body string, head ...string) (int, string, error) {
	o.t.Helper()
	r, err := http.NewRequestWithContext(o.t.Context(), method, o.web+path, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Add(head[i], head[i+1])
	}
	answer, err := o.http.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = answer.Body.Close() }() // it is read to its end
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), err
}

// want makes a request and expects a status.
func (o *operator) want(status int, method, path, body string, head ...string) string {
	o.t.Helper()
	is, text, err := o.send(method, path, body, head...)
	if err != nil || is != status {
		o.t.Errorf("%s %s: status %d, %v, want %d: %.500s", method, path, is, err, status, text)
	}
	return text
}

// Who has a certificate of the operators' authority acts under its name, through the
// API and through forms; others read, or are refused.
func TestCertificateActs(t *testing.T) {
	t.Parallel()
	site := demo.NewSite(t, poold(), root)
	ours, operators, others := etcd.NewAuthority(t), etcd.NewAuthority(t), etcd.NewAuthority(t)
	server, ann, eve := ours.Issue("server"), operators.Issue("ann"), others.Issue("eve")
	log := filepath.Join(t.TempDir(), "audit.log")
	site.Amend(func(text string) string {
		return text + fmt.Sprintf("  audit-log: %s\n  tls: {cert: %s, key: %s, client-ca: %s}\n", log, server.Cert, server.Key, ann.CA)
	})
	peer := site.Run(poold())
	w := &world{
		t: t, etcd: site.Etcd.Etcd, web: strings.Replace(site.Web, "http:", "https:", 1), clouds: site.Clouds.Clouds,
		needs: []*proc.Process{peer, site.Etcd.Process, site.Clouds.Process},
	}
	someone, certified, stranger := w.operator(server.CA, nil), w.operator(server.CA, &ann), w.operator(server.CA, &eve)
	w.await("poold is ready for work", answerLimit, func() (string, bool) {
		status, text, err := someone.send(http.MethodGet, "/readyz", "")
		return fmt.Sprint(status, text, err), status == http.StatusOK
	})
	id := w.fulfilled(w.ask("held", protocol.Want{Labels: []string{demo.Small}}), demo.Small)[0].ID
	hold := fmt.Sprintf(`{"verb":"node-hold","target":%q,"reason":"with a certificate","ttl":"1h"}`, id)
	if _, _, err := stranger.send(http.MethodGet, "/healthz", ""); err == nil {
		t.Error("a certificate of another authority is let in")
	}
	someone.want(http.StatusUnauthorized, http.MethodPost, "/api/v1/actions", hold, "Content-Type", jsonKind)
	certified.want(http.StatusForbidden, http.MethodPost, "/api/v1/actions", hold, "Content-Type", jsonKind, "Origin", "https://evil.example")
	if got := certified.want(http.StatusOK, http.MethodPost, "/api/v1/actions", hold, "Content-Type", jsonKind); !strings.Contains(got, `"by": "ann"`) {
		t.Errorf("the answer is %s", got)
	}
	page := "/nodes/" + id
	if strings.Contains(someone.want(http.StatusOK, http.MethodGet, page, ""), `action="/act"`) {
		t.Error("the page has forms for somebody without a certificate")
	}
	word := regexp.MustCompile(`name="form" value="([^"]+)"`).FindStringSubmatch(certified.want(http.StatusOK, http.MethodGet, page, ""))
	if word == nil {
		t.Fatal("the page has no form for ann")
	}
	form := func(word string) string {
		return url.Values{"verb": {"node-unhold"}, "target": {id}, "reason": {"with a form"}, "back": {page}, "form": {word}}.Encode()
	}
	certified.want(http.StatusForbidden, http.MethodPost, "/act", form(""), "Content-Type", formKind)
	certified.want(http.StatusForbidden, http.MethodPost, "/act", form(word[1]), "Content-Type", formKind, "Sec-Fetch-Site", "cross-site")
	someone.want(http.StatusSeeOther, http.MethodPost, "/act", form(word[1]), "Content-Type", formKind) // to where one signs in
	if got := certified.want(http.StatusOK, http.MethodGet, page, ""); !strings.Contains(got, "node-unhold") {
		t.Error("what was refused was done")
	}
	certified.want(http.StatusSeeOther, http.MethodPost, "/act", form(word[1]), "Content-Type", formKind)

	for _, reason := range []string{"with a certificate", "with a form"} {
		told := func(text string) bool {
			return strings.Contains(text, `"command"`) && strings.Contains(text, `"done"`) && strings.Contains(text, `"ann"`) && strings.Contains(text, reason)
		}
		w.await("it is told of "+reason, answerLimit, func() (string, bool) {
			_, text, err := someone.send(http.MethodGet, "/api/v1/events?kind=command", "")
			return fmt.Sprint(text, err), told(text)
		})
		w.await("the log has it "+reason, answerLimit, func() (string, bool) {
			text, err := os.ReadFile(log)
			return fmt.Sprint(err), slices.ContainsFunc(strings.Split(string(text), "\n"), told)
		})
	}
	for _, p := range w.needs {
		p.Stop()
	}
}
