package etcdkv_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"poold/store/kv/etcdkv"
	"poold/test/etcd"
)

// authority makes a certificate for servers and clients on the loopback.
func authority(t *testing.T) etcdkv.TLSFiles {
	t.Helper()
	return etcd.NewAuthority(t).Issue("poold")
}

func TestTLS(t *testing.T) {
	files := authority(t)
	cfg, err := files.Load()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.MinVersion < tls.VersionTLS12 {
		t.Errorf("an old version of TLS is spoken: %x", cfg.MinVersion)
	}
	k, err := etcdkv.Open(t.Context(), etcdkv.Config{Endpoints: []string{"https://" + etcd.StartTLS(t, files)}, TLS: cfg})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Close() }()
	if _, _, err := k.Grant(t.Context(), time.Minute); err != nil {
		t.Error(err)
	}
}

func TestTLSFilesLoad(t *testing.T) {
	good := authority(t)
	if cfg, err := (etcdkv.TLSFiles{}).Load(); cfg != nil || err != nil {
		t.Errorf("without files: %v, %v, want neither", cfg, err)
	}
	if cfg, err := (etcdkv.TLSFiles{CA: good.CA}).Load(); err != nil || cfg.RootCAs == nil || cfg.Certificates != nil {
		t.Errorf("an authority alone: %+v, %v", cfg, err)
	}
	for want, files := range map[string]etcdkv.TLSFiles{
		"no such file":           {CA: "none.pem"},
		"no certificate in it":   {CA: good.Key},
		"read the certificate":   {CA: good.CA, Cert: good.Cert, Key: "none.pem"},
		"find any PEM data":      {Cert: "tls_test.go", Key: good.Key},
		"read etcd's CA":         {CA: "none.pem", Cert: good.Cert, Key: good.Key},
		"private key does not m": {Cert: good.Cert, Key: authority(t).Key},
	} {
		if _, err := files.Load(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", files, err, want)
		}
	}
}
