package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poold/config"
)

// files makes an input of a main file and, unless it is empty, a secure one.
func files(main, secure string) config.Input {
	in := config.Input{Main: config.Source{Name: "f", Data: []byte(main)}, Env: env}
	if secure != "" {
		in.Secure = &config.Source{Name: "s", Data: []byte(secure)}
	}
	return in
}

// A difference is told in the words of the file, and no secret with it.
func TestDiff(t *testing.T) {
	for name, c := range map[string]struct {
		before, after             string
		secureBefore, secureAfter string
		want                      []string
	}{
		"nothing but the spelling": {
			before: "labels:\n- name: a\n  min-ready: 1\n", after: "# said differently\nlabels: [{min-ready: 1, name: 'a'}]\n",
		},
		"a value": {
			before: "labels: [{name: a, min-ready: 1}]", after: "labels: [{name: a, min-ready: 20}]",
			want: []string{"~ labels[a].min-ready: 1 -> 20"},
		},
		"values that come and go": {
			before: "labels: [{name: a, min-ready: 1}]", after: "labels: [{name: a, max-ready: 2}]",
			want: []string{"+ labels[a].max-ready: 2", "- labels[a].min-ready: was 1"},
		},
		"things that come and go": {
			before: "providers: [{name: x, rate: 1}, {name: y}]", after: "providers: [{name: z}, {name: y, pools: [{name: m}]}]\nlabels: [{name: l}]",
			want: []string{"+ labels[l]", "- providers[x]", "+ providers[z]", "+ providers[y].pools[m]"},
		},
		"a list": {
			before: "diskimages: [{name: i, elements: [a, b]}]", after: "diskimages: [{name: i, elements: [a]}]",
			want: []string{`~ diskimages[i].elements: ["a","b"] -> ["a"]`},
		},
		"an order": {
			before: "labels: [{name: a}, {name: b}, {name: c}]", after: "labels: [{name: b}, {name: a}]",
			want: []string{"- labels[c]", "~ labels: in another order"},
		},
		"through an anchor": {
			before: "diskimages: [&a {name: i, env-vars: {A: x}, formats: [raw]}, {<<: *a, name: j}]",
			after:  "diskimages: [&a {name: i, env-vars: {A: y}, formats: [qcow2]}, {<<: *a, name: j}]",
			want: []string{
				"~ diskimages[i].env-vars.A: (not shown) -> (not shown)", `~ diskimages[i].formats: ["raw"] -> ["qcow2"]`,
				"~ diskimages[j].env-vars.A: (not shown) -> (not shown)", `~ diskimages[j].formats: ["raw"] -> ["qcow2"]`,
			},
		},
		"the environment": {
			before: "name: a", after: "name: %(NODEPOOL_PASSWORD)", want: []string{`~ name: "a" -> "$NODEPOOL_PASSWORD"`},
		},
		"secrets": {
			before: "etcd: {password: hunter2}", after: "etcd: {password: hunter3, username: u}",
			secureBefore: "diskimages: [{name: i, env-vars: {A: hunter4}}]", secureAfter: "diskimages: [{name: i, env-vars: {A: hunter5, B: hunter6}}]",
			want: []string{
				"~ etcd.password: (not shown) -> (not shown)", `+ etcd.username: "u"`,
				"~ secure file: diskimages[i].env-vars.A: (not shown) -> (not shown)",
				"+ secure file: diskimages[i].env-vars.B: (not shown)",
			},
		},
		"a secure file that is gone": {
			secureBefore: "etcd: {password: hunter2}", want: []string{"- secure file: etcd"},
		},
		"what only the parser bears": {
			before: "labels:\nlabels: [{name: a}]", after: "labels:\nlabels: [{name: b}]", want: []string{"~ the file: changed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := config.Diff(files(c.before, c.secureBefore), files(c.after, c.secureAfter))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if strings.Contains(strings.Join(got, "\n"), "hunter") {
				t.Errorf("it shows a secret: %v", got)
			}
		})
	}
}

// Not everything is told of a file that is another altogether.
func TestDiffIsBounded(t *testing.T) {
	after := "labels:\n" + strings.Repeat("- {name: l%}\n", 300)
	for i := range 300 {
		after = strings.Replace(after, "%", string(rune('a'+i%26))+string(rune('a'+i/26)), 1)
	}
	got := config.Diff(files("labels: []", ""), files(after, ""))
	if len(got) != 201 || got[200] != "and 100 more" {
		t.Errorf("%d lines, the last is %q", len(got), got[len(got)-1])
	}
}
