package etcdkv

import (
	"cmp"
	"strings"
)

// The variables that say how to reach etcd; they are etcdctl's with another
// beginning.
const (
	EndpointsVariable = "POOLD_ETCD"
	CAVariable        = "POOLD_ETCD_CACERT"
	CertVariable      = "POOLD_ETCD_CERT"
	KeyVariable       = "POOLD_ETCD_KEY"
	UserVariable      = "POOLD_ETCD_USER"
	PasswordVariable  = "POOLD_ETCD_PASSWORD" //nolint:gosec // where one is, not one
)

// Settings says how to reach etcd as humans write it down: in the environment,
// on a command line, in a file.
type Settings struct {
	Endpoints []string
	Files     TLSFiles
	// Username and Password belong together.
	Username, Password string
}

// Environment reads the variables. What they do not say is empty.
func Environment(getenv func(string) string) Settings {
	s := Settings{
		Files:    TLSFiles{CA: getenv(CAVariable), Cert: getenv(CertVariable), Key: getenv(KeyVariable)},
		Username: getenv(UserVariable), Password: getenv(PasswordVariable),
	}
	if named := getenv(EndpointsVariable); named != "" {
		s.Endpoints = strings.Split(named, ",")
	}
	return s
}

// Or fills what is empty from others. A certificate comes with its key, and a
// password with its user; who names a user without a password gets that of the
// others.
func (s Settings) Or(others Settings) Settings {
	if len(s.Endpoints) == 0 {
		s.Endpoints = others.Endpoints
	}
	s.Files.CA = cmp.Or(s.Files.CA, others.Files.CA)
	if s.Files.Cert == "" && s.Files.Key == "" {
		s.Files.Cert, s.Files.Key = others.Files.Cert, others.Files.Key
	}
	if s.Username == "" || s.Username == others.Username || others.Username == "" {
		s.Username, s.Password = cmp.Or(s.Username, others.Username), cmp.Or(s.Password, others.Password)
	}
	return s
}

// Config reads the files.
func (s Settings) Config() (Config, error) {
	tls, err := s.Files.Load()
	if err != nil {
		return Config{}, err
	}
	return Config{Endpoints: s.Endpoints, TLS: tls, Username: s.Username, Password: s.Password}, nil
}
