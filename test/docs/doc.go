// Package docs does what the documents say: it takes the blocks of commands,
// configuration and output out of every Markdown file, and runs them in the order in
// which they stand there, as a reader would who types all of it.
//
// The blocks of one file are one session of bash. It sees the programs poold and
// poolctl, a demo at its usual ports (a network namespace of its own is what makes
// that possible), and a copy of /etc that nobody else sees. A block is, by the word
// behind its fence:
//
//   - sh: commands, which must succeed;
//   - console: commands after "$ ", and between them lines of what they print, in
//     order. A word that has a digit in it stands for any word, as does "...", which
//     at the end of a line stands for the rest of it, and alone for any lines;
//   - yaml: a nodepool.yaml, or enough of one: "poold check" must find it good;
//   - text: a picture, or a form to fill in, and no command.
//
// Anything else fails the test, unless a comment above the block says what it is:
//
//	<!-- test: says TEXT -->          its output has this text
//	<!-- test: fails TEXT -->         its last command fails, and says this
//	<!-- test: file NAME -->          it is written to this file
//	<!-- test: background -->         it runs until the end, or the command interrupt
//	<!-- test: not run, BECAUSE -->   it is only shown; what it names is looked at
//
// Three more may stand anywhere:
//
//	<!-- test: run COMMANDS -->       they are run, and not shown
//	<!-- test: alone -->              the session has no demo
//	<!-- test: in the repository -->  the session begins there, not in an empty folder
//
// Commands that are named in passing, as `poolctl node list`, and those of blocks that
// are not run, have to be there with their options, as docs/poolctl.md has them.
package docs
