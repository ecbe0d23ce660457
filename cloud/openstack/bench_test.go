package openstack

import (
	"bytes"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"

	"poold/cloud"
)

const (
	benchServers = 10_000
	benchPage    = 1000
)

// benchPages are the pages of a list of servers as nova shows them, half of
// them ours.
func benchPages(url string) [][]byte {
	var pages [][]byte
	for first := 0; first < benchServers; first += benchPage {
		var b bytes.Buffer
		b.WriteString(`{"servers": [`)
		for k := first; k < first+benchPage; k++ {
			if k > first {
				b.WriteString(", ")
			}
			installation := "ours"
			if k%2 == 1 {
				installation = "theirs"
			}
			fmt.Fprintf(&b, `{"id": "00000000-1111-4222-8333-%012d", "name": "p12345678-%[1]d", "status": "ACTIVE",
				"tenant_id": "1f17074a0b4b4c5788386a89dfd6c91b", "user_id": "c5bdfdc5507c4486b263154d4a4b1a56",
				"metadata": {"poold_installation": %[2]q, "poold_batch": "p12345678", "poold_provider": "north", "poold_revision": "42"},
				"hostId": "30ce1e7c03fdf0dc69e55e9ecf3cb876c715eabc29532e794a5ccbb9",
				"image": {"id": "fe3fd683-2b19-461f-a14e-fbb9fb61d7e6", "links": [{"rel": "bookmark", "href": "http://127.0.0.1:8774/images/fe3fd683-2b19-461f-a14e-fbb9fb61d7e6"}]},
				"flavor": {"id": "2594cd37-e455-4bb0-89fe-30fe3a208b65", "links": [{"rel": "bookmark", "href": "http://127.0.0.1:8774/flavors/2594cd37-e455-4bb0-89fe-30fe3a208b65"}]},
				"created": "2026-11-21T01:00:00Z", "updated": "2026-11-21T01:00:05Z",
				"addresses": {"ci-net": [
					{"version": 4, "addr": "10.10.%[3]d.%[4]d", "OS-EXT-IPS:type": "fixed", "OS-EXT-IPS-MAC:mac_addr": "fa:16:3e:00:00:01"},
					{"version": 4, "addr": "172.24.%[3]d.%[4]d", "OS-EXT-IPS:type": "floating", "OS-EXT-IPS-MAC:mac_addr": "fa:16:3e:00:00:01"}]},
				"accessIPv4": "", "accessIPv6": "", "links": [{"rel": "self", "href": "http://127.0.0.1:8774/v2.1/servers/x"},
				{"rel": "bookmark", "href": "http://127.0.0.1:8774/servers/x"}], "OS-DCF:diskConfig": "MANUAL", "progress": 0,
				"OS-EXT-AZ:availability_zone": "nova", "config_drive": "", "key_name": null,
				"OS-SRV-USG:launched_at": "2026-11-21T01:00:05.000000", "OS-SRV-USG:terminated_at": null, "security_groups": [{"name": "default"}],
				"OS-EXT-STS:task_state": null, "OS-EXT-STS:vm_state": "active", "OS-EXT-STS:power_state": 1,
				"os-extended-volumes:volumes_attached": []}`, k, installation, k/250, k%250)
		}
		b.WriteString(`]`)
		if next := first + benchPage; next < benchServers {
			fmt.Fprintf(&b, `, "servers_links": [{"rel": "next", "href": "%s/compute/servers/detail?marker=%d"}]`, url, next)
		}
		b.WriteString(`}`)
		pages = append(pages, b.Bytes())
	}
	return pages
}

// lister lists all servers in one way, and returns how many it saw. What it
// returns for is alive as long as the caller keeps it.
type lister func(b *testing.B) (count int, result any)

// livePeak is the most memory that is alive while a list is made. It collects
// garbage at each page, so it is measured apart from the time.
func livePeak(b *testing.B, s *benchCloud, list lister) uint64 {
	b.Helper()
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before, peak := m.HeapAlloc, uint64(0)
	s.between = func() {
		runtime.GC()
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapAlloc)
	}
	_, result := list(b)
	s.between()
	s.between = func() {}
	runtime.KeepAlive(result)
	return peak - before
}

// benchCloud serves the pages.
type benchCloud struct {
	url     string
	between func()
}

func newBenchCloud(b *testing.B) *benchCloud {
	b.Helper()
	c := &benchCloud{between: func() {}}
	var pages [][]byte
	c.url = newStub(b, "", func(w http.ResponseWriter, r *http.Request) {
		c.between()
		marker, _ := strconv.Atoi(r.URL.Query().Get("marker"))
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(pages[marker/benchPage])
	}).url
	pages = benchPages(c.url)
	return c
}

func ourList(d *Driver) lister {
	return func(b *testing.B) (int, any) {
		b.Helper()
		l, err := d.Instances(b.Context(), cloud.ListMark{})
		if err != nil {
			b.Fatal(err)
		}
		return len(l.Instances) + l.Others, l
	}
}

// gophercloudList is what the library offers for it.
func gophercloudList(url string) lister {
	client := &gophercloud.ServiceClient{
		ProviderClient: &gophercloud.ProviderClient{TokenID: "token"}, Endpoint: url + "/compute/", Type: "compute",
	}
	return func(b *testing.B) (int, any) {
		b.Helper()
		all, err := servers.List(client, nil).AllPages(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		list, err := servers.ExtractServers(all)
		if err != nil {
			b.Fatal(err)
		}
		return len(list), list
	}
}

// cost is what one list takes.
type cost struct {
	time      time.Duration
	allocated uint64
	live      uint64
}

func measure(b *testing.B, s *benchCloud, list lister) cost {
	b.Helper()
	c := cost{live: livePeak(b, s, list)}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	if n, _ := list(b); n != benchServers {
		b.Fatalf("%d servers were seen", n)
	}
	c.time = time.Since(start)
	runtime.ReadMemStats(&after)
	c.allocated = after.TotalAlloc - before.TotalAlloc
	return c
}

// BenchmarkList10000 lists 10,000 servers, half of them ours, beside what
// gophercloud's AllPages and ExtractServers take for it in the same run.
func BenchmarkList10000(b *testing.B) {
	s := newBenchCloud(b)
	ours, theirs := ourList(open(b, "ours", cloud.Open{})), gophercloudList(s.url)
	ours(b) // which fetches the token
	var sum, other cost
	for b.Loop() {
		one, two := measure(b, s, ours), measure(b, s, theirs)
		sum.time, other.time = sum.time+one.time, other.time+two.time
		sum.allocated, other.allocated = sum.allocated+one.allocated, other.allocated+two.allocated
		sum.live, other.live = max(sum.live, one.live), max(other.live, two.live)
	}
	n := float64(b.N)
	b.ReportMetric(0, "ns/op") // it is of both together
	b.ReportMetric(sum.time.Seconds()*1000/n, "ms")
	b.ReportMetric(float64(sum.allocated)/n/1e6, "MB-allocated")
	b.ReportMetric(float64(sum.live)/1e6, "MB-live-at-most")
	b.ReportMetric(float64(other.time)/float64(sum.time), "x-time")
	b.ReportMetric(float64(other.allocated)/float64(sum.allocated), "x-allocated")
	b.ReportMetric(float64(other.live)/float64(sum.live), "x-live")
}
