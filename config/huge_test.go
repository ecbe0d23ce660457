package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestHugeFiles reads files as no site has them. What is done for each name
// must not be done with all others: a check that is cubic in the length of a
// chain of parents, or that looks for a suggestion for each of thousands of
// wrong names, takes minutes here.
func TestHugeFiles(t *testing.T) {
	const images, labels = 500, 3000
	var chain strings.Builder
	chain.WriteString("diskimages:\n- {name: i0}\n")
	for i := range images {
		fmt.Fprintf(&chain, "- {name: i%d, parent: i%d}\n", i+1, i)
	}
	wantErrors(t, chain.String(), 0, "")
	wantErrors(t, chain.String()+"- {name: last, parent: i}\n", 1,
		fmt.Sprintf("f:%d:24: diskimages[%d].parent: there is no diskimage \"i\" (did you mean \"i0\"?)", images+3, images+1))

	var offers strings.Builder
	offers.WriteString("providers:\n- {name: p, cloud: c, cloud-images: [{name: i}], pools: [{name: main, labels: [\n")
	for i := range labels {
		fmt.Fprintf(&offers, "{name: l%d, cloud-image: i, flavor-name: f},\n", i)
	}
	offers.WriteString("]}]}\nlabels:\n")
	var right, wrong strings.Builder
	for i := range labels {
		fmt.Fprintf(&right, "- {name: l%d}\n", i)
		fmt.Fprintf(&wrong, "- {name: w%d}\n", i)
	}
	wantErrors(t, offers.String()+right.String(), 0, "")
	wantErrors(t, offers.String()+wrong.String(), labels,
		"f:3:8: providers[0].pools[0].labels[0].name: there is no label \"l0\" (did you mean \"w0\"?)")
}

// wantErrors checks how many errors a text has, and the first one.
func wantErrors(t *testing.T, text string, count int, first string) {
	t.Helper()
	_, _, err := Parse(Input{Main: Source{Name: "f", Data: []byte(text)}})
	var all Errors
	errors.As(err, &all)
	if len(all) != count {
		t.Fatalf("got %d errors, want %d", len(all), count)
	}
	if count > 0 && all[0].Error() != first {
		t.Errorf("got %v\nwant %s", all[0], first)
	}
}
