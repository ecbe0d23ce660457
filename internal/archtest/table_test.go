package archtest

// row says what the non-test files of one package may import.
type row struct {
	pkg     string   // path below the module, "*" at the end: any package below
	project []string // packages of this project; "*": all of them
	outside []string // modules, and those standard packages that are for few
}

// Modules and standard packages named more than once.
const (
	cobra      = "github.com/spf13/cobra"
	etcdAPI    = "go.etcd.io/etcd/api/v3"
	etcdClient = "go.etcd.io/etcd/client/v3"
	httpPkg    = "net/http"
	prometheus = "github.com/prometheus/client_golang"
	ssh        = "golang.org/x/crypto/ssh"
	xrate      = "golang.org/x/time/rate"
	xsync      = "golang.org/x/sync"
	yaml       = "gopkg.in/yaml.v3"
	zap        = "go.uber.org/zap"
)

// guarded are the standard packages that only the rows naming them may use.
func guarded() []string { return []string{httpPkg} }

// table is the architecture: arrows point down only. Rows stand in the order
// of the picture, from the binaries down to the vocabulary.
func table() []row {
	return []row{
		{"cmd/poold", []string{"daemon", "internal/manual"}, []string{cobra, zap}},
		{"cmd/poolctl", []string{
			"allocator", "client", "config", "event", "internal/manual", "operate", "pool", "store", "store/kv/etcdkv", "web/model",
		}, []string{cobra, yaml, zap}},

		{"daemon", []string{"*"}, []string{
			"github.com/coreos/go-systemd/v22", "go.etcd.io/etcd/server/v3/embed",
			httpPkg, prometheus, "github.com/prometheus/client_model", xsync, zap,
		}},
		{".", nil, nil},
		{"client", []string{"pool", "store/kv"}, nil},

		{"allocator", []string{"internal/rest", "pool"}, []string{prometheus, xsync, zap}},
		{"launcher", []string{"cloud", "internal/rest", "internal/sleep", "pool"}, []string{prometheus, ssh, xsync, zap}},
		{"builder", []string{"builder/export", "builder/fetch", "internal/sleep", "pool"}, []string{prometheus, xsync, zap}},
		{"builder/export", []string{"cloud", "internal/digest", "internal/sleep", "pool"}, []string{xsync}},
		{"builder/fetch", []string{"internal/digest"}, []string{httpPkg}},
		{"uploader", []string{"cloud", "internal/sleep", "pool"}, []string{prometheus, xrate, xsync, zap}},
		{"web", []string{"event", "pool", "web/login", "web/model"}, []string{httpPkg, prometheus, "github.com/prometheus/client_model", zap}},
		{"web/login", nil, []string{httpPkg}},
		{"web/model", []string{"pool"}, nil},
		{"trace", []string{"event", "pool"}, []string{"go.opentelemetry.io/otel/exporters/otlp/otlptrace", "go.opentelemetry.io/proto/otlp", prometheus, zap}},
		{"statsd", []string{"pool"}, []string{prometheus, zap}},
		{"event", []string{"pool"}, nil},
		{"operate", []string{"pool"}, nil},
		{"peers", []string{"pool"}, nil},

		{"cloud", []string{"pool"}, nil},
		{"cloud/cloudtest", []string{"cloud", "pool"}, []string{"github.com/google/go-cmp"}},
		{"cloud/guard", []string{"cloud", "pool", "ratelimit"}, []string{prometheus, zap}},
		{"cloud/openstack", []string{"cloud", "cloud/openstack/cloudsyaml", "pool"}, []string{
			"github.com/gophercloud/gophercloud/v2", zap, httpPkg,
		}},
		{"cloud/openstack/cloudsyaml", []string{"internal/spell"}, []string{yaml}},
		{"cloud/sim", []string{"cloud", "internal/sleep", "pool"}, []string{ssh}},
		{"cloud/static", []string{"cloud", "pool"}, []string{zap}},
		{"cloud/survey", []string{"cloud", "config", "pool"}, nil},
		{"cloud/sim/openstackapi", []string{"cloud", "cloud/sim", "pool"}, []string{httpPkg}},
		{"ratelimit", []string{"pool"}, []string{xrate}},

		{"store", []string{"pool", "store/kv"}, []string{xsync, "golang.org/x/sys", zap}},
		{"store/kv", nil, nil},
		{"store/kv/etcdkv", []string{"store/kv"}, []string{etcdAPI, etcdClient, "google.golang.org/grpc", zap}},
		{"store/kv/kvtest", []string{"store/kv"}, []string{"pgregory.net/rapid"}},
		{"store/kv/memkv", []string{"store/kv"}, nil},

		{"config", []string{"internal/spell", "pool"}, []string{yaml}},
		{"pool", nil, nil},

		{"internal/archtest", nil, nil},
		{"internal/golden", nil, []string{"github.com/google/go-cmp"}},
		{"internal/recordtest", []string{"pool"}, nil},
		{"internal/digest", nil, nil},
		{"internal/manual", nil, []string{cobra}},
		{"internal/rest", nil, nil},
		{"internal/sleep", nil, nil},
		{"internal/spell", nil, nil},
		{"test/*", []string{"*"}, []string{"*"}},
	}
}
