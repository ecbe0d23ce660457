package etcdkv_test

import (
	"reflect"
	"testing"

	"poold/store/kv/etcdkv"
)

func TestSettings(t *testing.T) {
	env := map[string]string{
		"POOLD_ETCD": "https://a:2379,https://b:2379", "POOLD_ETCD_CACERT": "ca", "POOLD_ETCD_CERT": "crt", "POOLD_ETCD_KEY": "key",
		"POOLD_ETCD_USER": "ci", "POOLD_ETCD_PASSWORD": "p",
	}
	all := etcdkv.Settings{
		Endpoints: []string{"https://a:2379", "https://b:2379"}, Files: etcdkv.TLSFiles{CA: "ca", Cert: "crt", Key: "key"},
		Username: "ci", Password: "p",
	}
	with := func(change func(*etcdkv.Settings)) etcdkv.Settings {
		s := all
		change(&s)
		return s
	}
	fromEnv := etcdkv.Environment(func(name string) string { return env[name] })
	for what, c := range map[string]struct{ got, want etcdkv.Settings }{
		"the environment":    {fromEnv, all},
		"no environment":     {etcdkv.Environment(func(string) string { return "" }), etcdkv.Settings{}},
		"nothing wins":       {etcdkv.Settings{}.Or(all), all},
		"everything wins":    {all.Or(etcdkv.Settings{Username: "other", Password: "o", Files: etcdkv.TLSFiles{CA: "o"}}), all},
		"other certificates": {etcdkv.Settings{Files: etcdkv.TLSFiles{Cert: "c"}}.Or(all), with(func(s *etcdkv.Settings) { s.Files.Cert, s.Files.Key = "c", "" })},
		"another user":       {etcdkv.Settings{Username: "u"}.Or(all), with(func(s *etcdkv.Settings) { s.Username, s.Password = "u", "" })},
		"the same user":      {etcdkv.Settings{Username: "ci"}.Or(all), all},
		"a user, and a password elsewhere": {
			etcdkv.Settings{Username: "u"}.Or(etcdkv.Settings{Password: "p"}), etcdkv.Settings{Username: "u", Password: "p"},
		},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: got %+v, want %+v", what, c.got, c.want)
		}
	}
}
