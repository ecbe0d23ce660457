package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"poold/pool"
	"poold/store/kv"
)

// restoredAtOnce bounds the changes of one transaction: there are as many
// conditions, and one more.
const restoredAtOnce = 100

// Restored is a record of a [State] that can be imported.
type Restored struct {
	Kind string `json:"kind"`
	// Key is without the prefix.
	Key string `json:"key"`
	// Left is why it is not written, or "".
	Left string `json:"left,omitempty"`

	place place
	value []byte
}

// Restore is what an import would do. Make one with [Store.Restorable].
type Restore struct {
	// Records are those that can be imported, in the order of their keys.
	Records []*Restored

	// installation is the condition that it is still that of the document.
	installation kv.Cond
}

// Writes is how many records would be written.
func (r *Restore) Writes() int { return len(r.writes()) }

func (r *Restore) writes() []*Restored {
	return slices.DeleteFunc(slices.Clone(r.Records), func(x *Restored) bool { return x.Left != "" })
}

// Restorable tells what [Store.Restore] would do with a document: the
// installation's id, builds and uploads, pauses, drains and the freeze, as far
// as there is nothing at their keys. All of the document that would be read is
// checked.
//
// Nodes are never restored: their servers may have gone to somebody else, or be
// deleted, since. Requests are their clients', and all else is found out anew.
func (s *Store) Restorable(ctx context.Context, state *State) (*Restore, error) {
	if err := state.check(); err != nil {
		return nil, err
	}
	r := Restore{}
	var errs []error
	for _, kind := range slices.Sorted(maps.Keys(state.Records)) {
		for _, record := range state.Records[kind] {
			x, err := s.restored(record)
			errs = append(errs, err)
			if x != nil {
				r.Records = append(r.Records, x)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("%w: nothing of the document is imported: %w", pool.ErrRefused, err)
	}
	slices.SortStableFunc(r.Records, func(a, b *Restored) int { return strings.Compare(a.Key, b.Key) })
	for i := 1; i < len(r.Records); i++ {
		if r.Records[i].Key == r.Records[i-1].Key {
			return nil, fmt.Errorf("%w: the document has %s twice", pool.ErrRefused, r.Records[i].Key)
		}
	}
	items, revision, err := s.kv.List(ctx, s.keys.prefix)
	if err != nil {
		return nil, fmt.Errorf("read records: %w", translate(err))
	}
	s.saw(revision)
	return &r, s.compareState(&r, items)
}

// restored takes a record of a document, nil if it is of a kind that is not
// imported.
func (s *Store) restored(record StateRecord) (*Restored, error) {
	it := record.item(s.keys)
	x := &Restored{Key: record.Key, place: s.keys.parse(it.Key)}
	x.Kind = strings.TrimSuffix(x.place.family.String(), "s")
	folder, _, _ := strings.Cut(record.Key, "/")
	imported := []string{"installation", "images", "pauses", "drains", "freeze"}
	if !slices.Contains(imported, folder) {
		return nil, nil //nolint:nilnil // of another kind
	}
	if err := s.recode(x, it); err != nil {
		return nil, fmt.Errorf("%s: %w", record.Key, err)
	}
	return x, nil
}

// recode reads a record, and makes the value that is written.
func (s *Store) recode(x *Restored, it kv.Item) error {
	switch x.place.family { //nolint:exhaustive // of the folders of what is imported
	case familyBuild:
		return recodeAs(s, s.codec.builds, x, it, buildLeft)
	case familyUpload:
		return recodeAs(s, s.codec.uploads, x, it, uploadLeft)
	case familyPause:
		return recodeAs(s, s.codec.pauses, x, it, never)
	case familyDrain:
		return recodeAs(s, s.codec.drains, x, it, never)
	case familyFreeze:
		return recodeAs(s, s.codec.freezes, x, it, never)
	}
	if it.Key == s.keys.installation() {
		x.Kind, x.value = "installation", it.Value
		return readable(it.Value)
	}
	return errMisplaced
}

// buildLeft is why a build is left, or "". One that an operator took out of
// service is not to be made again, nor to serve, whatever became of it.
func buildLeft(b *pool.Build) string {
	switch b.State {
	case pool.BuildReady:
		return ""
	case pool.BuildFailed, pool.BuildDeleting, pool.BuildDeleted:
		if b.Withdrawn != "" {
			return ""
		}
	case pool.BuildBuilding:
	}
	return "it is " + string(b.State)
}

// uploadLeft is buildLeft of an upload.
func uploadLeft(u *pool.Upload) string {
	switch u.State {
	case pool.UploadReady, pool.UploadTrial:
		return ""
	case pool.UploadFailed, pool.UploadDeleting, pool.UploadDeleted:
		if u.Withdrawn != "" {
			return ""
		}
	case pool.UploadPending, pool.UploadUploading:
	}
	return "it is " + string(u.State)
}

// never leaves a record: there are no states of it.
func never[T any](*T) string { return "" }

// recodeAs is recode for one kind; left says why a record is left, or "".
func recodeAs[T any](s *Store, c kind[T], x *Restored, it kv.Item, left func(*T) string) error {
	r, err := c.decode(s.keys, x.place, it)
	if err != nil {
		return err
	}
	x.Left = left(r)
	x.value, err = c.encode(r, s.writes())
	return err
}

// compareState sees what of a document is there already.
func (s *Store) compareState(r *Restore, items []kv.Item) error {
	there := map[string]kv.Item{}
	peers := 0
	for _, it := range items {
		there[it.Key] = it
		if s.keys.parse(it.Key).family == familyMember {
			peers++
		}
	}
	if err := s.sameInstallation(r, there[s.keys.installation()], peers); err != nil {
		return err
	}
	for _, x := range r.Records {
		if _, is := there[s.keys.prefix+x.Key]; is {
			x.Left = "it is there"
		}
	}
	s.leaveOrphans(r, there)
	return nil
}

// leaveOrphans leaves the uploads of builds that there will not be: an uploader
// would delete their images.
func (s *Store) leaveOrphans(r *Restore, there map[string]kv.Item) {
	builds := map[string]bool{}
	for _, x := range r.Records {
		builds[s.keys.prefix+x.Key] = x.Left == ""
	}
	for _, x := range r.Records {
		if x.place.family != familyUpload || x.Left != "" {
			continue
		}
		build := s.keys.build(x.place.a, x.place.b)
		if _, is := there[build]; !is && !builds[build] {
			x.Left = "its build is not imported"
		}
	}
}

// sameInstallation refuses the document of another installation: none of its
// images is this one's.
func (s *Store) sameInstallation(r *Restore, there kv.Item, peers int) error {
	key := s.keys.installation()
	i := slices.IndexFunc(r.Records, func(x *Restored) bool { return s.keys.prefix+x.Key == key })
	if i < 0 {
		return fmt.Errorf("%w: the document has no installation's id, and so nothing that could be ours", pool.ErrRefused)
	}
	r.installation = kv.Unchanged(key, there.ModRevision)
	if there.ModRevision == 0 {
		if peers > 0 {
			return fmt.Errorf("%w: peers run, and their installation's id is gone from etcd: stop poold everywhere, import, and start it", pool.ErrRefused)
		}
		return nil
	}
	old, err := decodeInstallation(r.Records[i].value)
	if err != nil {
		return err
	}
	now, err := decodeInstallation(there.Value)
	if err != nil {
		return err
	}
	if old.ID != now.ID {
		return fmt.Errorf("%w: the document is of installation %s, and this is %s, to which the images of the other do not belong; "+
			"see When etcd is lost in docs/recovery.md", pool.ErrRefused, old.ID, now.ID)
	}
	return nil
}

// Restore writes what [Store.Restorable] found. Nothing that is there is changed. If it
// fails half-way, it can be done again from the beginning.
func (s *Store) Restore(ctx context.Context, r *Restore) error {
	installation := r.installation
	for _, group := range r.transactions() {
		txn := kv.Txn{If: []kv.Cond{installation}}
		for _, x := range group {
			key := s.keys.prefix + x.Key
			if key != installation.Key {
				txn.If = append(txn.If, kv.Absent(key))
			}
			txn.Then = append(txn.Then, kv.Put(key, x.value))
		}
		revision, err := s.settle(ctx, nil, txn)
		if err != nil {
			return fmt.Errorf("import records: %w", err)
		}
		if installation.Value == 0 {
			installation = kv.Unchanged(installation.Key, revision)
		}
	}
	return nil
}

// transactions splits what is written. The installation's id comes first, and
// what stops others from working before what they would work with. A build comes
// together with its uploads: without the build an uploader deletes them, and
// without them it brings the build to the clouds again.
func (r *Restore) transactions() [][]*Restored {
	var first, images []*Restored
	for _, x := range r.writes() {
		switch {
		case x.Kind == "installation":
			first = slices.Insert(first, 0, x)
		case x.place.family == familyBuild || x.place.family == familyUpload:
			images = append(images, x)
		default:
			first = append(first, x)
		}
	}
	return append(slices.Collect(slices.Chunk(first, restoredAtOnce)), packed(images)...)
}

// packed splits builds and uploads.
func packed(images []*Restored) [][]*Restored {
	build := func(a, b *Restored) int {
		return cmp.Or(strings.Compare(a.place.a, b.place.a), strings.Compare(a.place.b, b.place.b))
	}
	slices.SortStableFunc(images, build)
	var all [][]*Restored
	var last []*Restored
	for len(images) > 0 {
		n := 1 // of one build, whose own key is the first
		for n < min(len(images), restoredAtOnce) && build(images[n], images[0]) == 0 {
			n++
		}
		if len(last) > 0 && len(last)+n > restoredAtOnce {
			all, last = append(all, last), nil
		}
		last, images = append(last, images[:n]...), images[n:]
	}
	if len(last) > 0 {
		all = append(all, last)
	}
	return all
}

// readable refuses an installation's id that this program cannot read.
func readable(value []byte) error {
	i, err := decodeInstallation(value)
	if err == nil && i.V > pool.RecordVersion {
		return fmt.Errorf("version %d: %w", i.V, errNewer)
	}
	return err
}
