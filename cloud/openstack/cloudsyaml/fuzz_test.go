package cloudsyaml

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzLoad reads whatever is in the files: it ends with a cloud that can be
// used, or with an error at a place.
func FuzzLoad(f *testing.F) {
	for _, name := range []string{"clouds.yaml", "secure.yaml", "clouds-public.yaml"} {
		b, err := os.ReadFile(filepath.Join("testdata", "site", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b), "", "big", "two")
	}
	f.Add("clouds: {a: {"+login+"}}", "clouds: {a: {auth: {password: x}}}", "", "r")
	f.Add("clouds: &c {a: *c}", "[", "a", "")
	f.Add("clouds: {a: {"+login+", regions: [{name: b, values: {networks: [{name: n}]}}], image_endpoint: 'http://{region_name}'}}", "", "a", "b")
	f.Fuzz(func(t *testing.T, clouds, secure, cloud, region string) {
		found := &files{config: file{"clouds.yaml", []byte(clouds)}, secure: file{"secure.yaml", []byte(secure)}}
		c, err := found.load(&Places{}, cloud, region)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		if c.Auth.URL == "" || c.Auth.Method == "" || c.At.File == "" || c.At.Line == 0 {
			t.Errorf("a cloud that cannot be used: %+v", c)
		}
		for service, s := range c.Service {
			if s.Interface == "" {
				t.Errorf("no interface for %s", service)
			}
		}
	})
}
