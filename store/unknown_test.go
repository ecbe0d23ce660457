package store

import (
	"encoding/json"
	"testing"
	"time"
)

// sample has parts of every kind that records have.
type sample struct {
	A     string                     `json:"a"`
	B     *sample                    `json:"-"`
	List  []part                     `json:"list,omitempty"`
	Named map[string]part            `json:"named,omitempty"`
	One   *part                      `json:"one,omitempty"`
	At    *time.Time                 `json:"at,omitempty"`
	Raw   map[string]json.RawMessage `json:"raw,omitempty"`
	Plain map[string]string          `json:"plain,omitempty"`

	inlined
}

type inlined struct {
	C int `json:"c,omitempty"`
}

type part struct {
	ID string `json:"id,omitempty"`
	N  int    `json:"n"`
}

// Names that are not known are found wherever they are, and others never.
func TestKnows(t *testing.T) {
	s := shapeOf[sample]()
	for text, want := range map[string]bool{
		`{}`: true, `null`: true, `{"a":"x,\"y\":{","c":1}`: true, ` { "a" : "\\" , "c" : -1.5e3 } `: true,
		`{"x":1}`: false, `{"a":"\\","x":1}`: false, `{"a":"\"","x":1}`: false, `{"a":"}","x":1}`: false, `{"":1}`: false,
		`{"a":"\",\"x\":"}`: true, `{"\u0061":1}`: false, `{"a":{"x":1}}`: true, `{"a":[{"x":1}],"x":1}`: false,
		`{"one":{"id":"x","n":1},"c":1}`: true, `{"one":{"id":"x","x":1}}`: false, `{"one":null}`: true,
		`{"list":[]}`: true, `{"list":[{"n":1},{"n":2}]}`: true, `{"list":[{"n":1},{"x":2}]}`: false,
		`{"list":[ {"n":1} , {"id":"]","x":[]} ]}`: false, `{"list":[{"n":1}],"x":1}`: false,
		`{"named":{"x":{"n":1}}}`: true, `{"named":{"x":{"y":1}}}`: false, `{"plain":{"x":"y"}}`: true,
		`{"raw":{"x":{"y":1}}}`: true, `{"raw":{"x":{"y":[1]}},"z":1}`: false, `{"at":"2026-02-03T04:05:06Z","z":1}`: false,
	} {
		if !json.Valid([]byte(text)) {
			t.Fatalf("%s is not JSON", text)
		}
		if got := s.knows([]byte(text)); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

// What is not known survives a change at every depth, and does not bring back
// what the change removed.
func TestGraft(t *testing.T) {
	for name, c := range map[string]struct {
		stored string
		change func(*sample)
		want   string
	}{
		"nothing changes":             {`{"x":1, "a":"b"}`, func(*sample) {}, `{"x":1, "a":"b"}`},
		"a field beside":              {`{"x":1,"a":"b"}`, func(s *sample) { s.A = "c" }, `{"a":"c","x":1}`},
		"inside a struct":             {`{"a":"","one":{"x":[1],"n":1}}`, func(s *sample) { s.One.N = 2 }, `{"a":"","one":{"n":2,"x":[1]}}`},
		"inside one that stays":       {`{"a":"","one":{"x":[1],"n":1}}`, func(s *sample) { s.A = "c" }, `{"a":"c","one":{"x":[1],"n":1}}`},
		"inside one that goes":        {`{"a":"","one":{"x":[1],"n":1}}`, func(s *sample) { s.One = nil }, `{"a":""}`},
		"inside a map":                {`{"a":"","named":{"k":{"n":1,"x":2},"l":{"n":2,"x":3}}}`, func(s *sample) { s.Named["k"] = part{N: 5}; delete(s.Named, "l") }, `{"a":"","named":{"k":{"n":5,"x":2}}}`},
		"a list that grows":           {`{"a":"","list":[{"n":1,"x":1},{"n":2,"x":2}]}`, func(s *sample) { s.List = append(s.List, part{N: 3}) }, `{"a":"","list":[{"n":1,"x":1},{"n":2,"x":2},{"n":3}]}`},
		"a list that shrinks":         {`{"a":"","list":[{"n":1,"x":1},{"n":2,"x":2}]}`, func(s *sample) { s.List = s.List[1:] }, `{"a":"","list":[{"n":2,"x":2}]}`},
		"alike elements":              {`{"a":"","list":[{"n":1,"x":1},{"n":1,"x":2}]}`, func(s *sample) { s.A = "c" }, `{"a":"c","list":[{"n":1,"x":1},{"n":1,"x":2}]}`},
		"an element with an id":       {`{"a":"","list":[{"id":"i","n":1,"x":1},{"id":"j","n":1,"x":2}]}`, func(s *sample) { s.List[0], s.List[1] = part{"j", 7}, part{"i", 8} }, `{"a":"","list":[{"id":"j","n":7,"x":2},{"id":"i","n":8,"x":1}]}`},
		"an element that is another":  {`{"a":"","list":[{"id":"i","n":1,"x":1}]}`, func(s *sample) { s.List[0] = part{"j", 1} }, `{"a":"","list":[{"id":"j","n":1}]}`},
		"a field in other letters":    {`{"A":"b","x":1}`, func(s *sample) { s.A = "c" }, `{"a":"c","x":1}`},
		"one that becomes empty":      {`{"a":"b","C":3,"x":1}`, func(s *sample) { s.C = 0 }, `{"a":"b","x":1}`},
		"the last of two of one name": {`{"a":"","one":{"n":1,"x":1},"one":{"n":2,"x":2}}`, func(s *sample) { s.One.N = 3 }, `{"a":"","one":{"n":3,"x":2}}`},
	} {
		var before, after sample
		for _, s := range []*sample{&before, &after} {
			if err := json.Unmarshal([]byte(c.stored), s); err != nil {
				t.Fatal(err)
			}
		}
		c.change(&after)
		got, err := graft(json.RawMessage(c.stored), encoded(t, &before), encoded(t, &after))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %s, %v, want %s", name, got, err, c.want)
		}
	}
}

func encoded(t *testing.T, s *sample) json.RawMessage {
	t.Helper()
	value, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return value
}
