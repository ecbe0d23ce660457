package config

// Input is what a configuration is made from.
type Input struct {
	Main Source
	// Secure is the secure file; nil if there is none.
	Secure *Source
	// Env looks a variable of the environment up; nil has none. Only names
	// that start with NODEPOOL_ are asked for.
	Env func(name string) (string, bool)
}

// Parse makes a configuration. The error, if any, is an [Errors] with
// everything that is wrong in both files; there is no configuration then. The
// notes are sorted by position and come with or without an error. Parse is a
// pure function of the input and never panics.
func Parse(in Input) (*Config, []Note, error) {
	env := in.Env
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	r := newReport()
	main := freshDocument()
	src := expand(in.Main, 0, env, r)
	mainRead := read(src, r, documentKeys(), &main)
	if mainRead == empty {
		r.errorf(src.start(), "the file is empty: it holds no configuration")
	}
	var secure secureDocument
	if in.Secure != nil {
		secureSrc := expand(*in.Secure, 1, env, r)
		secureSrc.secure = true
		read(secureSrc, r, secureKeys(), &secure)
	}
	if mainRead != complete {
		return nil, r.sortedNotes(), r.err()
	}
	c := &checker{report: r, doc: &main, secure: &secure}
	c.check()
	if err := r.err(); err != nil {
		return nil, r.sortedNotes(), err
	}
	return resolve(&main), r.sortedNotes(), nil
}

// outcome says how far a file could be read.
type outcome int

const (
	// broken is a file that is not YAML, or expands to too much.
	broken outcome = iota
	// empty is a file without a value.
	empty
	// complete is a file whose tables were filled, perhaps with errors.
	complete
)

// read fills a T with the only document of a file.
func read[T any](src *source, r *report, keys table[T], into *T) outcome {
	top, ok := root(src, r)
	switch {
	case !ok:
		return broken
	case top == nil:
		return empty
	}
	w := newWalker(src, r, top)
	it, _ := w.visit(top, "")
	keys.decode(w, it, into)
	if w.left <= 0 {
		return broken
	}
	return complete
}
