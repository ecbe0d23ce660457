package openstack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"poold/cloud"
)

// roundTrip answers calls without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answers makes a driver of a cloud that answers everything but logins with the
// same status and body. What it changes it notes.
func answers(f *testing.F) (fresh func(status int, after string, body []byte) (*Driver, *[]string)) {
	f.Helper()
	newStub(f, "    volume_endpoint_override: STUB/volume/v3\n    object_store_endpoint_override: STUB/v1/a\n", nil)
	login := `{"token": {"issued_at": "2026-01-01T00:00:00Z", "expires_at": "2036-01-01T01:00:00Z", "project": {"id": "p1"}, "catalog": []}}`
	return func(status int, after string, body []byte) (*Driver, *[]string) {
		d, err := Open(Config{Cloud: "sim", Installation: "inst1", Gate: openGate{}})
		if err != nil {
			f.Fatal(err)
		}
		d.six = func() bool { return false }
		changed := &[]string{}
		d.access().client.Transport.(*transport).base = roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Body != nil {
				_, _ = io.Copy(io.Discard, r.Body) // it is in memory
				_ = r.Body.Close()
			}
			answer := &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {after}}, Request: r}
			text := body
			if strings.HasSuffix(r.URL.Path, "/auth/tokens") {
				answer.StatusCode, text = http.StatusCreated, []byte(login)
				answer.Header.Set("X-Subject-Token", "t")
			} else if r.Method != http.MethodGet && r.Method != http.MethodHead {
				*changed = append(*changed, r.Method+" "+r.URL.Path)
			}
			answer.Header.Set("Location", "http://x/"+string(body[:min(len(body), 40)]))
			answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
			return answer, nil
		})
		return d, changed
	}
}

// calls are all that is ever asked of a cloud whose answer is read. Each tells what
// it believes to be ours.
func calls() []func(ctx context.Context, d *Driver) ([]cloud.Mark, error) {
	only := func(call func(ctx context.Context, d *Driver) error) func(context.Context, *Driver) ([]cloud.Mark, error) {
		return func(ctx context.Context, d *Driver) ([]cloud.Mark, error) { return nil, call(ctx, d) }
	}
	resources := func(kind cloud.ResourceKind) func(context.Context, *Driver) ([]cloud.Mark, error) {
		return func(ctx context.Context, d *Driver) ([]cloud.Mark, error) {
			found, err := d.Resources(ctx, kind)
			var marks []cloud.Mark
			for _, r := range found {
				marks = append(marks, r.Mark)
				if left := d.Remove(ctx, kind, r.ID); left != nil && err == nil {
					err = left
				}
			}
			return marks, err
		}
	}
	mark := cloud.Mark{Installation: "inst1", Provider: "p", Node: "n"}
	address := cloud.Instance{ID: anID, Status: cloud.StatusActive}
	return []func(ctx context.Context, d *Driver) ([]cloud.Mark, error){
		func(ctx context.Context, d *Driver) ([]cloud.Mark, error) {
			found, err := d.Instances(ctx, cloud.ListMark{})
			var marks []cloud.Mark
			for _, i := range found.Instances {
				marks = append(marks, i.Mark)
			}
			return marks, err
		},
		resources(cloud.FloatingIP), resources(cloud.StoredImage), resources(cloud.TaskImage), resources(cloud.KeyPair),
		only(func(ctx context.Context, d *Driver) error { _, err := d.Instance(ctx, anID); return err }),
		only(func(ctx context.Context, d *Driver) error { _, err := d.Facts(ctx); return err }),
		only(func(ctx context.Context, d *Driver) error { return d.Create(ctx, aBatch(2)) }),
		only(func(ctx context.Context, d *Driver) error { _, err := d.Console(ctx, anID, 10); return err }),
		only(func(ctx context.Context, d *Driver) error { _, err := d.InterfaceIP(ctx, address); return err }),
		only(func(ctx context.Context, d *Driver) error { _, err := d.NeedsFloatingIP(ctx, address); return err }),
		only(func(ctx context.Context, d *Driver) error {
			_, err := d.Expose(ctx, cloud.ExposeSpec{InstanceID: anID, Mark: mark, Again: true})
			return err
		}),
		only(func(ctx context.Context, d *Driver) error {
			ports, err := d.Ports(ctx, anID)
			for _, id := range ports {
				err = errors.Join(err, d.RemovePort(ctx, anID, id))
			}
			return err
		}),
		only(func(ctx context.Context, d *Driver) error { _, err := d.Image(ctx, anID); return err }),
		only(func(ctx context.Context, d *Driver) error { _, err := d.ImageMeans(ctx); return err }),
		only(func(ctx context.Context, d *Driver) error { _, err := d.ObjectMeans(ctx); return err }),
		only(func(ctx context.Context, d *Driver) error { _, err := d.Objects(ctx, "c", "p"); return err }),
		only(func(ctx context.Context, d *Driver) error { _, err := d.Task(ctx, anID); return err }),
		only(func(ctx context.Context, d *Driver) error { _, err := d.Source(ctx, anID); return err }),
		only(func(ctx context.Context, d *Driver) error {
			_, err := d.Snapshot(ctx, cloud.SnapshotSpec{Server: anID, Name: cloud.ExportName + "x", Mark: mark})
			return err
		}),
	}
}

// Whatever a cloud answers to whatever it is asked, there is no panic, no server
// is taken for gone that the status does not call so, nothing that is not marked is
// taken for ours, and nothing is changed outside of the paths that we know.
func FuzzAnswers(f *testing.F) {
	for i, body := range []string{
		`{"servers": [{"id": "a", "name": "n", "status": "ACTIVE", "metadata": {"poold_installation": "inst1"}, "addresses": {"n": [{"addr": "10.0.0.1", "version": 4}]}}]}`,
		`{"floatingips": [{"id": "a", "description": "poold installation=inst1 node=n provider=p revision=1", "floating_ip_address": "1.2.3.4"}]}`,
		`{"images": [{"id": "a", "poold_installation": "inst1", "poold_upload": "i/b", "status": "active"}]}`,
		`{"images": [{"id": "a", "name": "poold installation=inst1 provider=p upload=i%2Fb id=x"}]}`,
		`{"keypairs": [{"keypair": {"name": "poold-inst1-0011223344556677"}}]}`,
		`{"server": {"id": "a", "status": "ERROR", "fault": {"message": "No valid host was found"}}}`,
		`{"flavors": [{"id": "1", "name": "s", "ram": 1, "vcpus": 1}], "availabilityZoneInfo": [{"zoneName": "z", "zoneState": {"available": true}}], "limits": {"absolute": {"maxTotalCores": -1}}, "quota": {"floatingip": {"limit": 1, "used": 0}}}`,
		`{"server": {"id": "a"}}`, `{"output": "\u001b[2J"}`,
		`{"networks": [{"id": "n", "name": "private", "router:external": false, "subnets": ["s"]}], "subnets": [{"id": "s", "cidr": "10.0.0.0/8"}]}`,
		`{"ports": [{"id": "p", "device_id": "x", "fixed_ips": [{"ip_address": "10.0.0.1"}]}]}`,
		`{"floatingip": {"id": "a", "floating_ip_address": "1.2.3.4"}, "networks": [{"id": "n", "router:external": true}], "ports": [{"id": "p"}]}`,
		`{"ports": [{"id": "p", "device_id": "` + anID + `"}], "port": {"id": "p", "device_id": "` + anID + `"}}`,
		`{"id": "a", "status": "active", "size": 1, "os_hash_algo": "sha512", "os_hash_value": "00"}`,
		`{"import-methods": {"value": ["glance-direct"]}, "stores": [{"id": "fast"}]}`,
		`{"swift": {"max_file_size": 1}, "slo": {"max_manifest_segments": 2}}`, `[{"name": "a", "bytes": 1, "hash": "x"}]`,
		`{"id": "t", "status": "success", "result": {"image_id": "x"}}`, `{"id": "a", "disk_format": "qcow2"}`, `{"server": {"id": "a", "image": {"id": "i"}}}`,
	} {
		f.Add(uint8(i), 200, "", []byte(body))
	}
	f.Add(uint8(0), 404, "1", []byte(`{"itemNotFound": {"message": "no"}}`))
	f.Add(uint8(7), 202, "", []byte(`null`))
	fresh, all := answers(f), calls()
	f.Fuzz(func(t *testing.T, call uint8, status int, after string, body []byte) {
		d, changed := fresh(status, after, body)
		defer d.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		marks, err := all[int(call)%len(all)](ctx, d)
		for _, m := range marks {
			if m.Installation != "" && m.Installation != "inst1" {
				t.Errorf("%q: of %+v is taken for ours", body, m)
			}
		}
		gone := status == http.StatusNotFound || status == http.StatusGone
		if cloud.KindOf(err) == cloud.NotFound && !gone && int(call)%len(all) == 5 {
			t.Errorf("%d %q proves that a server is gone: %v", status, body, err)
		}
		for _, what := range *changed {
			if _, path, _ := strings.Cut(what, " "); path != clean(path) {
				t.Errorf("%q has it do %s", body, what)
			}
		}
	})
}

// clean is a path as a service reads it.
func clean(path string) string {
	u, err := url.Parse("http://x" + path)
	if err != nil {
		return ""
	}
	return u.JoinPath().Path
}
