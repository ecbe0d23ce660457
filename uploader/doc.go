// Package uploader brings the builds of this peer into one provider, keeps the
// current and the previous one there, and removes the others.
//
// There is one [Uploader] per provider, run by the peer that owns its uploads.
// [Decide] says, as a pure function of a snapshot, which uploads to make, to
// send, to retire and to remove; goroutines of their own, a few at a time,
// move the data, so that a slow image does not hold up another and a slow
// provider no other provider. Every upload reads the file for itself, from the
// start, with a small buffer. One goroutine at a time moves a record; records
// are written with compare-and-set; an upload whose record somebody else moved
// stops.
//
// # Died here, what happens next
//
// An image's id is minted and recorded before the cloud is asked for it, so
// the record always says where to look. The next uploader finds the record as
//
//   - pending: the image may exist. It is asked for again with the same id,
//     and the driver returns it as if made.
//   - uploading, no image: it is made again with the same id.
//   - uploading, image queued: the data is sent.
//   - uploading, image saving: whoever sent it is gone, and a cloud may keep it
//     so for ever. The upload fails, the image is deleted, a new upload starts.
//   - uploading, image staged: if it has as many bytes as the file, its import is
//     asked for; otherwise nobody knows what is missing, and it is as saving.
//   - uploading, image importing: the cloud works by itself. It is waited for,
//     unless the cloud says where it failed; that one is as saving.
//   - uploading, image active: size and hash are verified; then it is ready.
//   - failed: moved to deleting.
//   - deleting: the image is deleted again, until the cloud says that there is
//     none; then it is deleted.
//   - deleted, after a failure: kept until the back-off has ended, as it holds
//     the count of attempts; then removed, and a new record made. A death
//     between the two forgets the count.
//
// Where the cloud makes the image of an object, by a task, it is found as
//
//   - uploading, no task on record: the task is looked for by the name that it
//     gives the image. Without one the segments that are missing are sent.
//   - uploading, task on record: it is waited for; then the image's id goes on
//     record, the image is described, verified, and the objects are deleted.
//   - deleting: the task is asked for the image; the objects go, unless the
//     next attempt needs them.
//
// A call whose reply was lost is followed by a look at the image. What no
// record names although it carries our mark is removed by a sweep, after it
// was seen twice; so are objects that no upload needs.
package uploader
