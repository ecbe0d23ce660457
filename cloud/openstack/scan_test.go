package openstack

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// Values are cut where they end, however they are nested, spaced and escaped,
// and wherever the reads end.
func TestScannerCutsValues(t *testing.T) {
	values := []string{
		`1`, `-2.5e3`, `null`, `true`, `""`, `"a,]}[{: "`, `"\""`, `"\\"`, `"\\\""`, `"ä\u00e4"`,
		`{}`, `[]`, `{"a": [1, {"b": "]}"}], "c": null}`, "[\n1 ,\t2 ]", `{"\\": {"\"}": "{"}}`,
	}
	for name, text := range map[string]string{
		"dense": "[" + strings.Join(values, ",") + "]", "spaced": " [ " + strings.Join(values, " ,\r\n ") + "\t] ",
	} {
		for reads, r := range map[string]io.Reader{
			"whole": strings.NewReader(text), "by byte": iotest.OneByteReader(strings.NewReader(text)),
		} {
			var got []string
			in := newScanner(r)
			err := in.each('[', ']', func() error {
				value, err := in.next()
				got = append(got, string(value))
				return err
			})
			if err != nil || !slices.Equal(got, values) {
				t.Errorf("%s, %s: got %q, %v", name, reads, got, err)
			}
		}
	}
}

// What ends in the middle, or is not JSON, is an error and no endless loop.
func TestScannerNoticesBrokenPages(t *testing.T) {
	page := `{"servers": [{"id": "a", "status": "ACTIVE"}, {"id": "b"}], "servers_links": [], "x": 1}`
	read := func(text []byte) error { return json.Unmarshal(text, &server{}) }
	if _, err := decodeServers(strings.NewReader(page), read); err != nil {
		t.Fatal(err)
	}
	for n := range len(page) {
		if _, err := decodeServers(strings.NewReader(page[:n]), read); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: got %v", page[:n], err)
		}
	}
	for _, broken := range []string{
		`[]`, `{}`, `"x"`, `<html>`, `{"servers"}`, `{"servers": {}}`, `{"servers": [,]}`, `{"servers": [}}`, `{"servers": [{]}`,
		`{"servers": [{"id": nonsense}]}`, `{"servers": [] "x": 1}`, `{"servers": [{"id": "a"} {"id": "b"}]}`,
		`{"servers": [], "servers_links": 1}`,
	} {
		if _, err := decodeServers(strings.NewReader(broken), read); err == nil {
			t.Errorf("%s is no page of servers, and was taken for one", broken)
		}
	}
}
