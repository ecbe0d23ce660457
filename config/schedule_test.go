package config_test

import (
	"testing"
)

// A period is told in its own time zone, or in UTC.
func TestTimeZones(t *testing.T) {
	c, _, err := parse(`
etcd: {embedded: /e}
labels:
  - name: a
    min-ready-schedule:
      - {min-ready: 1}
      - {min-ready: 1, timezone: America/New_York}
`)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"UTC", "America/New_York"} {
		if got := c.Catalog.Labels[0].Schedule[i].Location.String(); got != want {
			t.Errorf("period %d is in %s, want %s", i, got, want)
		}
	}
}
