package etcdkv

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// TLSFiles names the PEM files of an encrypted connection. Cert and Key are
// both set or both empty.
type TLSFiles struct {
	// CA is the authority that signed etcd's certificate; empty is those of
	// the system.
	CA string
	// Cert and Key are what is shown to etcd, if it asks.
	Cert, Key string
}

// Load reads the files. Without any it returns nil: TLS is then used for
// endpoints that begin with https, with the authorities of the system.
func (f TLSFiles) Load() (*tls.Config, error) {
	if f == (TLSFiles{}) {
		return nil, nil //nolint:nilnil // what clients of etcd take for the default
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("read etcd's CA: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("etcd's CA %s: no certificate in it", f.CA)
		}
	}
	if f.Cert != "" {
		pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return nil, fmt.Errorf("read the certificate for etcd: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}
