//go:build bench

package bench

import (
	"fmt"
	"net/http"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"time"

	"poold/cloud"
	"poold/cloud/openstack"
)

// A full list of a large project, of servers that are all ours.
func TestList(t *testing.T) {
	const batches, each = 10, 1000
	c := startSimulator(t, t.ArtifactDir(), plain(0))
	u := c.user()
	const installation = "bench"
	for i := range batches {
		u.call(http.MethodPost, u.base+"/servers", fmt.Sprintf(
			`{"server":{"name":"b%d","flavorRef":%q,"imageRef":%q,"networks":"auto","min_count":%d,"max_count":%d,"metadata":{%q:%q}}}`,
			i, u.flavor, u.image, each, each, cloud.KeyInstallation, installation))
	}
	t.Setenv("OS_CLIENT_CONFIG_FILE", c.file)
	driver, err := openstack.Open(openstack.Config{
		Cloud: "bench", Region: "R0", Installation: installation, Gate: cloud.Open{},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer driver.Close()
	list := func() int {
		l, err := driver.Instances(t.Context(), cloud.ListMark{})
		if err != nil {
			t.Fatal(err)
		}
		return len(l.Instances)
	}
	list() // the token and the connections are there
	runtime.GC()
	before := heap()
	stop, peak := watchHeap()
	began := time.Now()
	n := list()
	took := time.Since(began)
	stop()
	began = time.Now()
	size := 0
	for range batches { // the pages, without looking at them
		_, text := u.call(http.MethodGet, fmt.Sprintf("%s/servers/detail?limit=%d", u.base, each), "")
		size += len(text)
	}
	wire := time.Since(began)
	if n != batches*each {
		t.Errorf("%d servers listed, want %d", n, batches*each)
	}
	add(t, row{
		measured: "a list of 10,000 servers: time; memory beyond what was there",
		value:    fmt.Sprintf("%s; %d MB for %d MB", duration(took), (int64(peak())-int64(before))>>20, size>>20),
		goal:     "bounded", nodepool: "1.4 kB each, whole",
		floor: "ten pages of it, not read, " + duration(wire), ratio: ratio(took, wire),
	})
}

// heap is how much memory the heap has in use.
func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// watchHeap looks at the heap until it is stopped; peak is the most it had.
func watchHeap() (stop func(), peak func() uint64) {
	var most atomic.Uint64
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			most.Store(max(most.Load(), heap()))
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-over }, most.Load
}
