//go:build chaos

package chaos

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"poold/cloud"
	"poold/cloud/sim"
)

// gate notes what comes to the clouds: when, by limit, and what it changes.
type gate struct {
	next http.Handler

	mu   sync.Mutex // guards what follows
	came map[string][]time.Time
	// changed are the paths of the calls that may change something.
	changed []string
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.note(r, time.Now())
	g.next.ServeHTTP(w, r)
}

// note notes a call. Which limit a login had its path does not say.
func (g *gate) note(r *http.Request, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		g.changed = append(g.changed, r.Method+" "+r.URL.Path)
	}
	region, rest, _ := strings.Cut(strings.Trim(r.URL.Path, "/"), "/")
	service, _, _ := strings.Cut(rest, "/")
	if number, ok := strings.CutPrefix(region, "R"); ok {
		limit := "p" + number + " " + service
		g.came[limit] = append(g.came[limit], at)
	}
}

// crowded judges how many calls came to the clouds, by those that left (I6).
func (s *clouds) crowded(t *testing.T, left map[string][]call) []string {
	t.Helper()
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	for i := range regions {
		if name := fmt.Sprintf("p%d compute", i); len(left[name]) == 0 || len(s.gate.came[name]) == 0 {
			t.Fatalf("limit %s: %d calls left, %d came: nothing is to be judged", name, len(left[name]), len(s.gate.came[name]))
		}
	}
	return crowded(s.gate.came, left, perSecond)
}

// stranger is something in a cloud that nobody may touch, for it does not carry
// our mark.
type stranger struct {
	what, id string
	// is looks at it; it is the same as long as nobody has touched it.
	is    func() (string, error)
	first string
}

// strangers puts some into every cloud: without a mark, with a name like ours, and
// with the mark of another installation.
func (s *clouds) strangers(t *testing.T) []stranger {
	t.Helper()
	var all []stranger
	add := func(what, id string, is func() (string, error)) {
		first, err := is()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, stranger{what: what, id: id, is: is, first: first})
	}
	other := cloud.Mark{Installation: "another", Provider: "p0", Batch: "b", Revision: 1}
	for i, c := range s.sims {
		images := c.Images(time.Now())
		for name, properties := range map[string]map[string]string{
			"somebody": nil, "poold-p0-small": {"provider": "p0"}, "other": other.In(nil),
		} {
			made, err := c.CreateServers(time.Now(), sim.ServerSpec{
				Name: name, Flavor: c.Config().Flavors[0].ID, ImageID: images[0].ID, Metadata: properties,
			})
			if err != nil {
				t.Fatal(err)
			}
			add(fmt.Sprintf("server %s of R%d", name, i), made[0].ID, func() (string, error) {
				v, err := c.Server(time.Now(), made[0].ID)
				return fmt.Sprint(v.Name, v.Task == "deleting", v.Metadata, v.Description, v.Tags, v.KeyName), err
			})
		}
		image, err := c.CreateImage(time.Now(), sim.ImageSpec{Name: other.ImageName("1"), Properties: other.In(nil)})
		if err != nil {
			t.Fatal(err)
		}
		add(fmt.Sprintf("an image of R%d", i), image.ID, func() (string, error) {
			v, err := c.Image(time.Now(), image.ID)
			return fmt.Sprint(v.Name, v.Status, v.Properties), err
		})
		key := cloud.KeyPairName("another", "ssh-ed25519 AAAA")
		if err := c.CreateKeyPair(sim.KeyPair{Name: key}); err != nil {
			t.Fatal(err)
		}
		add(fmt.Sprintf("a key pair of R%d", i), key, func() (string, error) {
			return fmt.Sprint(slices.Contains(c.KeyPairs(), sim.KeyPair{Name: key})), nil
		})
	}
	return all
}

// touched lists the strangers that somebody touched, and how, and those that a
// sweep took for ours (I4).
func (s *clouds) touched(history []event) []string {
	var problems []string
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	for _, a := range s.alien {
		if at := suspected(history, a.id); at != 0 {
			problems = append(problems, fmt.Sprintf("%s is not ours, and a sweep took it for a leak at revision %d", a.what, at))
		}
		if is, err := a.is(); err != nil || is != a.first {
			problems = append(problems, fmt.Sprintf("%s is not ours and was touched: it was %s, and is %s, %v", a.what, a.first, is, err))
		}
		for _, did := range s.gate.changed {
			if strings.Contains(did, a.id) {
				problems = append(problems, fmt.Sprintf("%s is not ours, and somebody asked for %s", a.what, did))
			}
		}
	}
	return problems
}
