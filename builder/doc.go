// Package builder builds images: it runs diskimage-builder, or any command
// with its calling convention, or downloads a file, or takes an image out of a
// cloud, converts what it got to what is wanted, and owns the files that come
// out.
//
// There is one [Builder] per image, run by the peer that owns the image. It
// decides only on a snapshot at or beyond its own last write; [Due] says, as a
// pure function, whether a build is due and why. What a build needs of the
// machine is bounded by the slots that all builders of a process share. The
// builder writes build records and answers the operator's commands to build;
// it meets the uploader in those records only.
//
// # Died here, what happens next
//
//   - Before the record is written: nothing exists; the image is still due.
//   - The record says building, the command waits, runs or has ended: the
//     kernel ends the command with its builder. The next builder kills what
//     survived of it (its processes are in a cgroup of their own, and carry
//     POOLD_BUILD in their environment), unmounts what it mounted in its
//     directory, detaches its loop devices, moves the record to failed and
//     removes the files.
//   - The command succeeded, ready not yet recorded: the same; a build counts
//     only when its record says ready.
//   - Recorded as deleting or failed, files still there: the files of every
//     build that is neither building here nor ready are removed on the first
//     pass, and again whenever the set of builds changes.
//   - Deleted, record not yet removed: removed by the next pass.
//   - A download was under way: what is there of the file, and what the server
//     said of it, belong to the image. The next build goes on with them.
//   - The store is away during a build: the build goes on, its outcome is kept
//     in memory and recorded when the store is back.
//   - Ownership is lost, because etcd was away for longer than a lease: Run ends,
//     and nothing is recorded. The build goes on in the [Shop]: it writes to this
//     disk alone. If this peer is the next owner, its Run records the outcome; if
//     another is, that one moves the record to failed, and the build is ended when
//     this peer sees it. Only a build that takes an image out of a cloud ends with
//     the ownership: it makes calls that only an owner may make.
//
// A build that another peer made keeps its record under the rules of the
// image's owner. Its files are with that peer, which removes them once the record
// says that the build is gone ([Tidy]), whoever owns the image then.
//
// An image that nobody builds any more has an owner, too, who has an image without
// a recipe. It is never built; commands about its builds are obeyed.
package builder
