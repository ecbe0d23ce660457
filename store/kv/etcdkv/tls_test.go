package etcdkv_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"poold/store/kv/etcdkv"
	"poold/test/etcd"
)

// authority makes a certificate that signs itself, for servers and clients on
// the loopback, and returns it as the files of both.
func authority(t *testing.T) etcdkv.TLSFiles {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "poold"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	crt := write("cert.pem", "CERTIFICATE", cert)
	return etcdkv.TLSFiles{CA: crt, Cert: crt, Key: write("key.pem", "PRIVATE KEY", private)}
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
