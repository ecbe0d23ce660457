package daemon

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"

	"poold/config"
	"poold/internal/sleep"
	"poold/pool"
	"poold/web"
)

const (
	// settlePause is between two looks at files that are taken over because
	// somebody asks for it: what differs between the two is being written.
	settlePause = 500 * time.Millisecond
	// settleLooks is how often they are looked at for that.
	settleLooks = 20
	// leaveGrace is how long nobody must have had a provider until it has left:
	// peers have different files, and are restarted.
	leaveGrace = 5 * time.Minute
)

// fileState is the fingerprint of files, and zero for such that cannot be read.
type fileState [sha256.Size]byte

// errUnsettled is that files are written all the time.
var errUnsettled = errors.New("the files are different each time they are read")

// fileReload has the peer follow the files of its configuration. They are
// looked at every few seconds, and when somebody asks for it: a change is seen
// whichever way it was made, in place, by renaming or through a link.
type fileReload struct {
	*Daemon

	// read reads the files; nil if they are not followed.
	read func() (config.Input, error)
	// asked asks for them to be taken over now.
	asked <-chan os.Signal
	// started is what the files said when the process began.
	started config.Config
	metrics fileMetrics

	// The rest but problem belongs to run. taken is what is in force, seen the files as
	// of the last look.
	taken config.Input
	seen  fileState
	// told is what was last logged to be wrong.
	told string
	// known are the providers that are or were configured, as they were last.
	known map[string]*pool.Provider
	// unknown says since when nobody has had providers that are not known here.
	unknown absences
	// unbuilt says since when nobody has built images that have builds.
	unbuilt absences

	mu sync.Mutex // guards problem
	// problem is why the files are not in force; empty if they are.
	problem string
}

// fileMetrics tell how the peer follows its files.
type fileMetrics struct {
	reloads       *prometheus.CounterVec
	failed, needs prometheus.Gauge
	loaded        prometheus.Gauge
}

func newFileMetrics(reg prometheus.Registerer) fileMetrics {
	f := promauto.With(reg)
	return fileMetrics{
		reloads: f.NewCounterVec(prometheus.CounterOpts{
			Name: "poold_config_reloads_total",
			Help: "Changes of nodepool.yaml and the secure file by outcome: taken, or failed, which changed nothing.",
		}, []string{"outcome"}),
		failed: f.NewGauge(prometheus.GaugeOpts{
			Name: "poold_config_reload_failed",
			Help: "1 while the files cannot be used; what they said before goes on.",
		}),
		needs: f.NewGauge(prometheus.GaugeOpts{
			Name: "poold_config_restart_needed",
			Help: "1 while the files say something that only a restart takes over; the log says what.",
		}),
		loaded: f.NewGauge(prometheus.GaugeOpts{
			Name: "poold_config_loaded_timestamp_seconds",
			Help: "When the configuration in force was taken over.",
		}),
	}
}

// newFileReload follows nothing yet.
func newFileReload(d *Daemon, asked <-chan os.Signal) *fileReload {
	r := &fileReload{
		Daemon: d, started: *d.cfg, asked: asked, metrics: newFileMetrics(d.registry.process),
		known: map[string]*pool.Provider{}, unknown: absences{}, unbuilt: absences{},
	}
	r.metrics.loaded.Set(unixSeconds(d.setup().loaded))
	return r
}

// follow has the files followed from what they said as the process began.
func (r *fileReload) follow(taken config.Input, started config.Config, read func() (config.Input, error)) {
	r.taken, r.started, r.read = taken, started, read
	r.seen = inputPrint(taken)
}

// run follows the files until ctx ends, and lets go of what left them.
func (r *fileReload) run(ctx context.Context) error {
	for {
		timer := time.NewTimer(r.lookPause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-r.asked:
			timer.Stop()
			r.obey(ctx)
		case <-timer.C:
			r.look()
			r.letLeave()
			r.letIn()
		}
	}
}

// obey takes the files over because somebody asks for it, and tells systemd.
func (r *fileReload) obey(ctx context.Context) {
	notify(r.log, daemon.SdNotifyReloading+"\n"+daemon.SdNotifyMonotonicUsec())
	defer notify(r.log, daemon.SdNotifyReady)
	r.told = "" // who asks is told again
	for range settleLooks {
		if r.look() || sleep.For(ctx, settlePause) != nil {
			return
		}
	}
	r.fail(errUnsettled)
}

// look looks at the files once, and takes them over if they are others than
// those in force, and the same as at the last look. It returns false if they
// are not.
func (r *fileReload) look() (settled bool) {
	if r.read == nil {
		return true
	}
	var now fileState
	in, err := r.read()
	if err == nil { // else one of them is being renamed, perhaps
		now = inputPrint(in)
	}
	settled = now == r.seen
	r.seen = now
	switch {
	case !settled:
	case err != nil:
		r.fail(err)
	case now == inputPrint(r.taken):
		r.mend()
	default:
		r.take(in)
	}
	return settled
}

// take takes files over, all or nothing.
func (r *fileReload) take(in config.Input) {
	cfg, notes, err := config.Parse(in)
	if err != nil {
		r.fail(err)
		return
	}
	before := r.setup()
	next, err := r.arrange(cfg, r.leaving(cfg, before), r.keeping(cfg, before), before)
	if err != nil && leavesOut(next, before) {
		r.fail(err)
		return
	}
	next.loaded = time.Now().UTC().Truncate(time.Millisecond)
	diff := config.Diff(r.taken, in)
	r.taken = in
	r.enforce(next)
	r.metrics.reloads.WithLabelValues("taken").Inc()
	r.metrics.loaded.Set(unixSeconds(next.loaded))
	r.mend()
	r.log.Info("configuration taken over", zap.Int("differences", len(diff)))
	for _, line := range diff {
		r.log.Info("configuration", zap.String("difference", line))
	}
	for _, n := range notes {
		r.log.Info("configuration", zap.Stringer("note", n))
	}
	r.tellRestart(cfg)
}

// leavesOut tells whether a provider cannot be opened that could be before, or
// was not there.
func leavesOut(next, before *setup) bool {
	for _, p := range next.providers() {
		known := before.cfg.Catalog.Provider(p.Name) != nil
		if next.clouds[p.Name] == nil && !p.Static() && (!known || before.clouds[p.Name] != nil) {
			return true
		}
	}
	return false
}

// tellRestart says what only a restart takes over.
func (r *fileReload) tellRestart(cfg *config.Config) {
	keys := restartKeys(&r.started, cfg)
	r.metrics.needs.Set(0)
	if len(keys) > 0 {
		r.metrics.needs.Set(1)
		r.log.Warn("a restart is needed for a part of the configuration", zap.Strings("keys", keys))
	}
}

// restartKeys are the keys that cannot be changed while the process runs, and
// are.
func restartKeys(before, after *config.Config) []string {
	var keys []string
	for key, same := range map[string]bool{
		"etcd":             reflect.DeepEqual(before.Etcd, after.Etcd),
		"name":             before.Name == after.Name,
		"roles":            slices.Equal(before.Roles, after.Roles),
		"webapp":           before.Web == after.Web,
		"tracing":          before.Tracing == after.Tracing,
		"statsd":           before.Statsd == after.Statsd,
		"max-uploads":      before.Uploads.Max == after.Uploads.Max,
		"upload-bandwidth": before.Uploads.BytesPerSecond == after.Uploads.BytesPerSecond,
	} {
		if !same {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// leaving are the providers that are to be let go of beside a configuration.
func (r *fileReload) leaving(cfg *config.Config, before *setup) []pool.Provider {
	for i := range before.cfg.Catalog.Providers {
		p := &before.cfg.Catalog.Providers[i]
		r.known[p.Name] = p
	}
	view := r.view.Load()
	if view == nil || !view.Synced() {
		return slices.DeleteFunc(slices.Clone(before.leaving), func(p pool.Provider) bool {
			return cfg.Catalog.Provider(p.Name) != nil
		})
	}
	all := leavers(view.Snapshot(), r.name, &cfg.Catalog, r.known)
	var gone []string
	for i := range all {
		gone = append(gone, all[i].Name)
	}
	now := time.Now()
	r.unknown.see(gone, now)
	// What this peer itself had is known to have left. The peer of another may just
	// be being restarted.
	return slices.DeleteFunc(all, func(p pool.Provider) bool {
		return r.known[p.Name] == nil && now.Sub(r.unknown[p.Name]) < leaveGrace
	})
}

// absences say since when things have been missed, by their names.
type absences map[string]time.Time

// see takes over what is missed now, and forgets what is there again.
func (a absences) see(missed []string, now time.Time) {
	maps.DeleteFunc(a, func(name string, _ time.Time) bool { return !slices.Contains(missed, name) })
	for _, name := range missed {
		if _, seen := a[name]; !seen {
			a[name] = now
		}
	}
}

// letLeave lets go of providers and images that have left the configurations of
// all peers meanwhile, and forgets those that have no nodes and builds any more.
func (r *fileReload) letLeave() {
	before := r.setup()
	leaving, kept := r.leaving(before.cfg, before), r.keeping(before.cfg, before)
	if names(leaving) == names(before.leaving) && slices.Equal(kept, before.kept) {
		return
	}
	next, err := r.arrange(before.cfg, leaving, kept, before)
	if err != nil && leavesOut(next, before) {
		r.log.Error("a provider that left the configuration has nodes yet, and cannot be reached", zap.Error(err))
	}
	r.enforce(next)
	r.log.Info("what left the configuration, and is not all gone yet",
		zap.String("providers", names(leaving)), zap.Strings("images", kept))
}

// letIn opens the access to providers that could not be opened so far: their
// clouds.yaml may have been half written when the peer began.
func (r *fileReload) letIn() {
	before := r.setup()
	missing := before.closed()
	if r.read == nil || len(missing) == 0 {
		return
	}
	next, err := r.arrange(before.cfg, before.leaving, before.kept, before)
	if slices.Equal(next.closed(), missing) {
		return
	}
	r.enforce(next)
	r.log.Info("providers opened that could not be before; left out are now", zap.Strings("providers", next.closed()), zap.Error(err))
}

// fail notes that the files are not taken over, and says why once.
func (r *fileReload) fail(err error) {
	text := err.Error()
	r.mu.Lock()
	r.problem = text
	r.mu.Unlock()
	r.metrics.failed.Set(1)
	if text == r.told {
		return
	}
	r.told = text
	r.metrics.reloads.WithLabelValues("failed").Inc()
	r.log.Error("configuration not taken over: nothing is changed", zap.Error(err))
}

// mend notes that the files are in force.
func (r *fileReload) mend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.problem != "" {
		r.log.Info("the files and the configuration in force are the same")
	}
	r.problem, r.told = "", ""
	r.metrics.failed.Set(0)
}

// check tells of the files in readiness: a peer works all the same without the
// last change.
func (r *fileReload) check() web.Check {
	r.mu.Lock()
	defer r.mu.Unlock()
	note := "taken over at " + r.setup().loaded.Format(time.RFC3339)
	if r.problem != "" {
		first, more, _ := strings.Cut(r.problem, "\n")
		note += ", and not as the files are now: " + first
		if more != "" {
			note += fmt.Sprintf(" (and %d more)", strings.Count(more, "\n")+1)
		}
	}
	return web.Check{Name: "configuration", Note: note}
}

// inputPrint is the fingerprint of files.
func inputPrint(in config.Input) fileState {
	h := sha256.New()
	for _, s := range []config.Source{in.Main, secureOf(in)} {
		_, _ = fmt.Fprintf(h, "%d:", len(s.Data)) // a hash takes everything
		_, _ = h.Write(s.Data)
	}
	return fileState(h.Sum(nil))
}

func secureOf(in config.Input) config.Source {
	if in.Secure == nil {
		return config.Source{}
	}
	return *in.Secure
}

func names(providers []pool.Provider) string {
	var all []string
	for i := range providers {
		all = append(all, providers[i].Name)
	}
	return strings.Join(all, " ")
}

// unixSeconds is a time as Prometheus has it.
func unixSeconds(t time.Time) float64 {
	return float64(t.UnixMilli()) / float64(time.Second/time.Millisecond)
}
