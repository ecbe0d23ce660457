package chaos

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// All stamps are by one clock, right or wrong, however late they are written.
func TestAstray(t *testing.T) {
	begin := time.Now()
	// stamp is a record that was seen after some seconds, with a stamp by a clock
	// that is ahead by others.
	type stamp struct {
		key         string
		seen, ahead int
	}
	const minute = 60
	for name, c := range map[string]struct {
		stamps []stamp
		want   string
	}{
		"none":                          {nil, ""},
		"all right":                     {[]stamp{{"nodes/p/n", 0, 0}, {"nodes/p/m", 600, 1}, {"allocations/c/a", 601, -30}}, ""},
		"all wrong":                     {[]stamp{{"nodes/p/n", 0, 10 * minute}, {"nodes/p/m", 600, 10*minute - 30}}, ""},
		"two are wrong":                 {[]stamp{{"nodes/p/n", 0, 0}, {"nodes/p/m", 1, 600}, {"nodes/p/n", 2, 600}}, "and so are 1 more"},
		"another peer's is wrong":       {[]stamp{{"nodes/p/n", 0, 0}, {"nodes/p/m", 1, 10 * minute}}, "nodes/p/m: it is stamped by a clock that differs by 10m0s from the others', and so are 0 more"},
		"the first one's is wrong":      {[]stamp{{"nodes/p/n", 0, -10 * minute}, {"allocations/c/a", 1, 0}}, "allocations/c/a: it is stamped by a clock that differs by 10m0s"},
		"the same stamp, written again": {[]stamp{{"nodes/p/n", 0, 0}, {"nodes/p/n", 3600, -3600}}, ""},
		"of another kind":               {[]stamp{{"nodes/p/n", 0, 0}, {"health/p", 0, -3600}}, ""},
	} {
		var history []event
		for i, s := range c.stamps {
			since := begin.Add(time.Duration(s.seen+s.ahead) * time.Second).UTC().Format(time.RFC3339Nano)
			history = append(history, event{
				revision: int64(i), key: prefix + s.key, value: fmt.Appendf(nil, `{"since":%q}`, since),
				at: begin.Add(time.Duration(s.seen) * time.Second),
			})
		}
		history = append(history, event{key: prefix + "nodes/p/n"}) // it is removed
		got := strings.Join(astray(history), "\n")
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
