// Package prometheus checks the alerts and the dashboard of deploy/ with
// Debian's prometheus: promtool fires every alert from recorded series, and a
// server scrapes a demo and is asked every query. The latter has the build tag
// "browser" and runs with `make test-web`.
package prometheus
