package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // so that the names of time zones are known on every machine

	"gopkg.in/yaml.v3"

	"poold/pool"
)

// maxSeconds is the longest time in seconds that a [time.Duration] holds.
const maxSeconds = math.MaxInt64 / int64(time.Second)

// maxInterval is the longest interval in seconds: a day.
const maxInterval = 86400

// scalar is a key with one value; read reports what is wrong itself.
func scalar[T, V any](
	doc keyDoc, get func(*T) *value[V], read func(*walker, item) (V, bool), show func(V) string,
) field[T] {
	return field[T]{
		keyDoc: doc,
		read: func(w *walker, _ mark, it item, into *T) {
			got := get(into)
			got.at = it.mark
			if v, ok := read(w, it); ok {
				got.v, got.set = v, true
			}
		},
		show: func(fresh *T) string { return show(get(fresh).v) },
	}
}

// text is a key whose value is a string.
func text[T any](name string, get func(*T) *value[string], doc string) field[T] {
	return scalar(keyDoc{name: name, kind: "string", text: doc, shape: stringShape()}, get, (*walker).text, showText)
}

// written is a key whose value is any scalar, taken as it is written.
func written[T any](name string, get func(*T) *value[string], doc string) field[T] {
	return scalar(keyDoc{name: name, kind: "string or number", text: doc, shape: anyScalar()}, get, (*walker).written, showText)
}

// choice is a key whose value is one of a few strings.
func choice[T any](name string, options []string, get func(*T) *value[string], doc string) field[T] {
	read := func(w *walker, it item) (string, bool) {
		v, ok := w.text(it)
		return v, ok && w.oneOf(it, v, options)
	}
	kind := "one of `" + strings.Join(options, "`, `") + "`"
	return scalar(keyDoc{name: name, kind: kind, text: doc, shape: shape{"enum": options}}, get, read, showText)
}

// boolean is a key whose value is true or false.
func boolean[T any](name string, get func(*T) *value[bool], doc string) field[T] {
	return scalar(keyDoc{name: name, kind: "boolean", text: doc, shape: booleanShape()}, get, (*walker).boolean, func(b bool) string {
		return code(strconv.FormatBool(b))
	})
}

// tristate is a boolean that means a third thing when it is absent.
func tristate[T any](name string, get func(*T) *value[bool], doc string) field[T] {
	return scalar(keyDoc{name: name, kind: "boolean", text: doc, shape: booleanShape()}, get, (*walker).boolean, showNothing)
}

// integer is a key whose value is an integer within bounds.
func integer[T any](name string, least, most int64, get func(*T) *value[int64], doc string) field[T] {
	read := func(w *walker, it item) (int64, bool) { return w.integer(it, least, most) }
	return scalar(keyDoc{name: name, kind: "integer", text: doc, shape: integerShape(least, most)}, get, read, func(i int64) string {
		return code(strconv.FormatInt(i, 10))
	})
}

// limit is a key whose value bounds an amount; less than nothing is nothing.
func limit[T any](name string, get func(*T) *value[int64], doc string) field[T] {
	read := func(w *walker, it item) (int64, bool) {
		v, ok := w.integer(it, math.MinInt32, math.MaxInt32)
		if ok && v < 0 {
			w.notef(it.mark, "less than 0 allows nothing, as 0 does; leave the key out for no limit")
		}
		return max(v, 0), ok
	}
	return scalar(keyDoc{name: name, kind: "integer", text: doc, shape: integerShape(math.MinInt32, math.MaxInt32)}, get, read, func(i int64) string {
		if i == pool.Unlimited {
			return "no limit"
		}
		return code(strconv.FormatInt(i, 10))
	})
}

// seconds is a key whose value is a time in whole seconds.
func seconds[T any](name string, least int64, get func(*T) *value[time.Duration], doc string) field[T] {
	read := func(w *walker, it item) (time.Duration, bool) {
		v, ok := w.integer(it, least, maxSeconds)
		return time.Duration(v) * time.Second, ok
	}
	return scalar(keyDoc{name: name, kind: "seconds", text: doc, shape: integerShape(least, maxSeconds)}, get, read, showSeconds)
}

// interval is a key whose value is a time in seconds with a fraction.
func interval[T any](name string, get func(*T) *value[time.Duration], doc string) field[T] {
	read := func(w *walker, it item) (time.Duration, bool) {
		v, ok := w.number(it)
		if ok && !(v >= 0 && v <= maxInterval) {
			w.errorf(it.mark, "must be between 0 and %d seconds", maxInterval)
			return 0, false
		}
		return time.Duration(math.Round(v * float64(time.Second))), ok
	}
	return scalar(keyDoc{name: name, kind: "seconds, with a fraction", text: doc, shape: shape{"type": "number", "minimum": 0, "maximum": maxInterval}}, get, read, showSeconds)
}

// duration is a key of our own whose value is a duration such as 90s or 1h30m,
// or seconds; within bounds.
func duration[T any](
	name string, least, most time.Duration, get func(*T) *value[time.Duration], doc string,
) field[T] {
	read := func(w *walker, it item) (time.Duration, bool) {
		v, ok := w.duration(it)
		if ok && (v < least || v > most) {
			w.errorf(it.mark, "must be between %s and %s", least, most)
			return 0, false
		}
		return v, ok
	}
	kind := "duration such as `90s` or `2m`, or seconds"
	words := shape{"type": []string{"string", "number"}, "pattern": `^-?([0-9.]+(ns|us|µs|μs|ms|s|m|h))+$`}
	return scalar(keyDoc{name: name, kind: kind, text: doc, shape: words}, get, read, func(d time.Duration) string {
		return code(d.String())
	})
}

// clock is a key whose value is a time of the day.
func clock[T any](name string, get func(*T) *value[time.Duration], doc string) field[T] {
	read := func(w *walker, it item) (time.Duration, bool) {
		v, ok := w.written(it)
		if !ok {
			return 0, false
		}
		if v == "24:00" {
			return 24 * time.Hour, true
		}
		at, err := time.Parse("15:04", v)
		if err != nil {
			w.errorf(it.mark, "must be a time of the day such as \"08:00\"")
			return 0, false
		}
		return time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute, true
	}
	return scalar(keyDoc{name: name, kind: "time such as `\"08:00\"`", text: doc, shape: clockShape()}, get, read, func(d time.Duration) string {
		return code(fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60))
	})
}

// zone is a key whose value is the IANA name of a time zone.
func zone[T any](name string, get func(*T) *value[*time.Location], doc string) field[T] {
	read := func(w *walker, it item) (*time.Location, bool) {
		v, ok := w.text(it)
		if !ok {
			return nil, false
		}
		// "Local" would be another time on every peer.
		location, err := time.LoadLocation(v)
		if err != nil || v == "" || v == "Local" {
			w.errorf(it.mark, "must be a time zone such as Europe/Berlin or UTC")
			return nil, false
		}
		return location, true
	}
	kind := "time zone such as `Europe/Berlin`"
	return scalar(keyDoc{name: name, kind: kind, text: doc, shape: stringShape()}, get, read, func(l *time.Location) string {
		return code(l.String())
	})
}

// secret is a key whose value is never printed.
func secret[T any](name string, get func(*T) *value[Secret], doc string) field[T] {
	read := func(w *walker, it item) (Secret, bool) {
		v, ok := w.text(it)
		return NewSecret(v), ok
	}
	return scalar(keyDoc{name: name, kind: "string", text: doc, shape: stringShape()}, get, read, func(Secret) string { return "" })
}

// names is a key whose value is a list of strings.
func names[T any](name string, get func(*T) *value[[]value[string]], doc string) field[T] {
	read := func(w *walker, it item) ([]value[string], bool) {
		if it.node.Kind != yaml.SequenceNode {
			w.wrong(it, "a list of strings")
			return nil, false
		}
		return w.texts(it), true
	}
	return scalar(keyDoc{name: name, kind: "list of strings", text: doc, shape: listShape(stringShape())}, get, read, func(all []value[string]) string {
		var words []string
		for _, v := range all {
			words = append(words, code(v.v))
		}
		return strings.Join(words, ", ")
	})
}

// oneOrMany is a key whose value is a list of strings, or only one of them.
func oneOrMany[T any](name string, get func(*T) *value[[]value[string]], doc string) field[T] {
	read := func(w *walker, it item) ([]value[string], bool) {
		if it.node.Kind == yaml.ScalarNode {
			v, ok := w.text(it)
			return []value[string]{{v: v, set: true, at: it.mark}}, ok
		}
		if it.node.Kind != yaml.SequenceNode {
			w.wrong(it, "a string, or a list of strings")
			return nil, false
		}
		return w.texts(it), true
	}
	kind := "string, or list of strings"
	either := shape{"type": []string{"string", "array"}, "items": stringShape()}
	return scalar(keyDoc{name: name, kind: kind, text: doc, shape: either}, get, read, func([]value[string]) string { return "" })
}

// entries is a key whose value is a mapping of any keys to scalars, each taken
// as it is written.
func entries[T any](name string, get func(*T) *value[[]entry], doc string) field[T] {
	read := func(w *walker, it item) ([]entry, bool) {
		pairs, ok := w.pairs(it)
		var all []entry
		for _, p := range pairs {
			if v, ok := w.written(p.value); ok {
				all = append(all, entry{key: p.key, keyMark: p.keyMark, value: v})
			}
		}
		return all, ok
	}
	kind := "mapping of strings"
	lines := shape{"type": "object", "additionalProperties": anyScalar()}
	return scalar(keyDoc{name: name, kind: kind, text: doc, shape: lines}, get, read, func([]entry) string { return "" })
}

// entry is one line of a mapping of strings.
type entry struct {
	key     string
	keyMark mark
	value   string
}

// one is a key whose value is a mapping with a table of its own.
func one[T, E any](name string, get func(*T) *E, sub table[E], doc string) field[T] {
	return field[T]{
		keyDoc: keyDoc{name: name, kind: "mapping", text: doc, sub: sub.section()},
		read: func(w *walker, _ mark, it item, into *T) {
			e := get(into)
			if p, ok := any(e).(interface{ put(at mark) }); ok {
				p.put(it.mark)
			}
			sub.decode(w, it, e)
		},
	}
}

// many is a key whose value is a list of mappings with a table of their own.
func many[T, E any](name string, get func(*T) *[]E, sub table[E], doc string) field[T] {
	return field[T]{
		keyDoc: keyDoc{name: name, kind: "list", text: doc, sub: sub.section()},
		read: func(w *walker, _ mark, it item, into *T) {
			all := get(into)
			for _, i := range w.items(it) {
				e := sub.fresh()
				if p, ok := any(&e).(interface{ put(at mark) }); ok {
					p.put(i.mark)
				}
				sub.decode(w, i, &e)
				*all = append(*all, e)
			}
		},
	}
}

// nothing is a key that nodepool knows and that has no meaning here; why ends
// the sentence that says so.
func nothing[T any](name, why string) field[T] {
	return field[T]{
		keyDoc: keyDoc{name: name, text: why, status: ignored},
		read: func(w *walker, key mark, _ item, _ *T) {
			w.notef(key, "has no effect: %s", why)
		},
	}
}

// old is a key of nodepool's syntax before version 3; instead says what to
// write now.
func old[T any](name, instead string) field[T] {
	return field[T]{
		keyDoc: keyDoc{name: name, text: instead, status: refused},
		read: func(w *walker, key mark, _ item, _ *T) {
			w.legacy(key, "%q is nodepool's syntax from before version 3: %s", name, instead)
		},
	}
}

func code(s string) string { return "`" + s + "`" }

func showText(s string) string {
	if s == "" {
		return ""
	}
	return code(s)
}

func showNothing(bool) string { return "" }

func showSeconds(d time.Duration) string {
	return code(strconv.FormatFloat(d.Seconds(), 'f', -1, 64))
}

func (w *walker) text(it item) (string, bool) {
	if it.node.Kind != yaml.ScalarNode || it.node.ShortTag() != "!!str" {
		w.wrong(it, aString)
		return "", false
	}
	return it.node.Value, w.printable(it)
}

// texts returns the strings of a list.
func (w *walker) texts(it item) []value[string] {
	var all []value[string]
	for _, i := range w.items(it) {
		if v, ok := w.text(i); ok {
			all = append(all, value[string]{v: v, set: true, at: i.mark})
		}
	}
	return all
}

// written returns a scalar as it is written: a number, a boolean and a date
// are strings too.
func (w *walker) written(it item) (string, bool) {
	if it.node.Kind != yaml.ScalarNode || isNull(it.node) {
		w.wrong(it, aString)
		return "", false
	}
	switch it.node.ShortTag() {
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp":
		return it.node.Value, w.printable(it)
	}
	w.wrong(it, aString)
	return "", false
}

// printable refuses the byte that no environment variable, command line or
// JSON API takes.
func (w *walker) printable(it item) bool {
	if strings.ContainsRune(it.node.Value, 0) {
		w.errorf(it.mark, "must not hold a zero byte")
		return false
	}
	return true
}

func (w *walker) boolean(it item) (bool, bool) {
	if it.node.Kind == yaml.ScalarNode && !quoted(it.node) {
		switch it.node.Value {
		case "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON":
			return true, true
		case "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF":
			return false, true
		}
	}
	w.wrong(it, aBoolean)
	return false, false
}

func (w *walker) integer(it item, least, most int64) (int64, bool) {
	digits := strings.ReplaceAll(it.node.Value, "_", "")
	tag := it.node.ShortTag()
	// YAML calls an integer a float when it is too large for 64 bits.
	huge := tag == "!!float" && strings.Trim(digits, "+-0123456789") == ""
	if it.node.Kind != yaml.ScalarNode || tag != "!!int" && !huge {
		w.wrong(it, anInteger)
		return 0, false
	}
	v, err := strconv.ParseInt(digits, 0, 64)
	if err != nil {
		// What ParseInt cannot hold lies beyond every bound on its side.
		v = math.MaxInt64
		if strings.HasPrefix(digits, "-") {
			v = math.MinInt64
		}
	}
	switch {
	case v < least || err != nil && v < 0:
		w.errorf(it.mark, "must be at least %d", least)
		return 0, false
	case v > most || err != nil:
		w.errorf(it.mark, "must be at most %d", most)
		return 0, false
	}
	return v, true
}

func (w *walker) number(it item) (float64, bool) {
	tag := it.node.ShortTag()
	if it.node.Kind != yaml.ScalarNode || tag != "!!int" && tag != "!!float" {
		w.wrong(it, aNumber)
		return 0, false
	}
	var v float64
	if err := it.node.Decode(&v); err != nil {
		w.wrong(it, aNumber)
		return 0, false
	}
	return v, true
}

func (w *walker) duration(it item) (time.Duration, bool) {
	if it.node.Kind != yaml.ScalarNode {
		w.wrong(it, "a duration such as 90s, or seconds")
		return 0, false
	}
	if it.node.ShortTag() != "!!str" {
		v, ok := w.number(it)
		if ok && !(math.Abs(v) < float64(maxSeconds)) {
			w.errorf(it.mark, "the number is too large")
			return 0, false
		}
		return time.Duration(math.Round(v * float64(time.Second))), ok
	}
	v, err := time.ParseDuration(it.node.Value)
	if err != nil {
		w.errorf(it.mark, "expected a duration such as 90s or 1h30m, or seconds")
		return 0, false
	}
	return v, true
}

// oneOf reports whether a text is one of a few.
func (w *walker) oneOf(it item, v string, options []string) bool {
	if slices.Contains(options, v) {
		return true
	}
	w.hint(it.mark, didYouMean(v, options), "%s is not %s", it.quote(v), alternatives(options))
	return false
}

// alternatives lists a few words.
func alternatives(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	last := len(words) - 1
	return fmt.Sprintf("one of %s and %s", strings.Join(words[:last], ", "), words[last])
}
