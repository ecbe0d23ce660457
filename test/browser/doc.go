// Package browser opens poold's pages in a real browser: Debian's chromium,
// without a screen. `make test-web` runs it and leaves screenshots. Its tests
// have the build tag "browser".
package browser
