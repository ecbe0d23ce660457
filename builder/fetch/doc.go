// Package fetch gets a file from a URL (http, https or file) onto the disk,
// complete and verified, or says why not.
//
// What was received is kept when a download ends early, beside a note of what
// the server said of the file: the next call goes on from there if the server
// still has the same file. What turns out not to be the file that was meant is
// removed. A connection that was cut is taken up again within a call only if it
// brought something; everything else is left to the caller's next try.
package fetch
