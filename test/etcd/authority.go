package etcd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"poold/store/kv/etcdkv"
)

// Authority signs certificates.
type Authority struct {
	tb     testing.TB
	dir    string
	serial int64
	file   string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
}

// NewAuthority makes one, which lives as long as the test.
func NewAuthority(tb testing.TB) *Authority {
	tb.Helper()
	a := &Authority{tb: tb, dir: tb.TempDir()}
	a.cert, a.key = a.template("authority"), a.newKey()
	a.cert.IsCA, a.cert.KeyUsage = true, x509.KeyUsageCertSign
	a.file = a.sign("authority", a.cert, a.key)
	return a
}

// Issue makes the files of a server or client on the loopback. The name is the
// user that etcd takes a client for.
func (a *Authority) Issue(name string) etcdkv.TLSFiles {
	a.tb.Helper()
	key := a.newKey()
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.tb.Fatal(err)
	}
	cert := a.template(name)
	cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	cert.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	return etcdkv.TLSFiles{CA: a.file, Cert: a.sign(name, cert, key), Key: a.write(name+".key", "PRIVATE KEY", private)}
}

func (a *Authority) newKey() *ecdsa.PrivateKey {
	a.tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.tb.Fatal(err)
	}
	return key
}

func (a *Authority) template(name string) *x509.Certificate {
	a.serial++
	return &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

// sign writes a certificate and returns its file.
func (a *Authority) sign(name string, cert *x509.Certificate, key *ecdsa.PrivateKey) string {
	a.tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, key.Public(), a.key)
	if err != nil {
		a.tb.Fatal(err)
	}
	return a.write(name+".pem", "CERTIFICATE", der)
}

func (a *Authority) write(name, kind string, der []byte) string {
	a.tb.Helper()
	name = filepath.Join(a.dir, name)
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.tb.Fatal(err)
	}
	return name
}
