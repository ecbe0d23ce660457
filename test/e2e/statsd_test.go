package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"poold/test/collector"
	"poold/test/demo"
	"poold/test/proc"
	"poold/test/protocol"
)

// told is how many lines a server was told that begin and end so.
func told(s *collector.Statsd, begin, end string) int {
	n := 0
	for _, line := range s.Lines() {
		if strings.HasPrefix(line, begin) && strings.HasSuffix(line, end) {
			n++
		}
	}
	return n
}

// One peer allocates and builds, and two launch: each launch, build and upload is
// told of once, by one of them, and how things stand by the one that knows.
func TestStatsd(t *testing.T) {
	t.Parallel()
	front, back, third := collector.StartStatsd(t), collector.StartStatsd(t), collector.StartStatsd(t)
	site := demo.NewSite(t, poold(), root)
	site.Amend(func(text string) string {
		return text + fmt.Sprintf("name: front\nroles: [allocator, builder]\nstatsd: {host: 127.0.0.1, port: %d}\n", front.Port)
	})
	w := &world{
		t: t, etcd: site.Etcd.Etcd, web: site.Web, clouds: site.Clouds.Clouds,
		needs: []*proc.Process{site.Run(poold()), site.Etcd.Process, site.Clouds.Process},
	}
	for name, server := range map[string]*collector.Statsd{"back": back, "third": third} {
		peer := site.Beside(name)
		peer.Amend(func(text string) string {
			return strings.ReplaceAll(text, "roles: [allocator, launcher]", "roles: [launcher]")
		})
		w.needs = append(w.needs, peer.Run(poold(), "STATSD_HOST=127.0.0.1", fmt.Sprint("STATSD_PORT=", server.Port)))
		peer.AwaitReady(w.needs[len(w.needs)-1])
	}
	site.AwaitReady(w.needs[0])
	w.awaitMinReady()
	r := w.ask("counted", protocol.Want{Labels: []string{demo.Small}})
	w.fulfilled(r, demo.Small)
	const inUse = "nodepool.label." + demo.Small + ".nodes.in-use:"
	w.await("it is told that a node is in use", answerLimit, func() (string, bool) { return "", told(front, inUse, "1|g") > 0 })
	w.delete(r)
	w.awaitMinReady()
	w.await("all is told that happened", answerLimit, func() (string, bool) { return w.sums(front, back, third) })
	for _, gauge := range []string{"nodepool.nodes.ready:", "nodepool.provider.demo-north.max_servers:", "nodepool.builder.front.image." + demo.Small + ".build.state:"} {
		if told(front, gauge, "|g") == 0 {
			t.Errorf("who knows does not tell of %s", gauge)
		}
	}
	for _, s := range []*collector.Statsd{back, third} {
		if n := told(s, "", "|g"); n > 0 {
			t.Errorf("a peer that launches tells %d times how things stand", n)
		}
	}
}

// sums compares what was told with the records, which are still there.
func (w *world) sums(all ...*collector.Statsd) (string, bool) {
	w.t.Helper()
	var list struct{ Items []struct{ Kind, To string } }
	if err := json.Unmarshal([]byte(w.poolctl(exitDone, "event", "list", "-o", "json")), &list); err != nil {
		w.t.Fatal(err)
	}
	records := map[string]int{}
	for _, e := range list.Items {
		records[e.Kind+" "+e.To]++
	}
	sum := func(begin, end string) (n int) {
		for _, s := range all {
			n += told(s, begin, end)
		}
		return n
	}
	got := []int{
		sum("nodepool.launch.ready:", "|c"), sum("nodepool.launch.ready:", "|ms"),
		sum("nodepool.dib_image_build.", ".status.rc:0|g"), sum("nodepool.image_update.", "|c"),
	}
	want := []int{records["node ready"], records["node ready"], records["build ready"], records["upload ready"]}
	return fmt.Sprintf("launches, their times, builds, uploads: told are %v, the records have %v", got, want), slices.Equal(got, want) && want[3] > 0
}
