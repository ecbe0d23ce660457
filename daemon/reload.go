package daemon

import (
	"cmp"
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"poold/internal/sleep"
)

const (
	// reloadPause is how long to wait between two looks at clouds.yaml.
	reloadPause = 5 * time.Second
	// reloadTime bounds one look, with its login.
	reloadTime = 2 * time.Minute
)

// reloader has a driver take over what clouds.yaml says now.
type reloader struct {
	driver interface {
		Reload(ctx context.Context) (changed bool, err error)
	}
	// pause is the time between two looks.
	pause   time.Duration
	metrics reloadMetrics
	log     *zap.Logger
}

// reloadMetrics tell how one provider follows clouds.yaml.
type reloadMetrics struct {
	reloads *prometheus.CounterVec
	failed  prometheus.Gauge
}

func newReloadMetrics(reg prometheus.Registerer, provider string) reloadMetrics {
	f, curry := promauto.With(reg), prometheus.Labels{"provider": provider}
	return reloadMetrics{
		reloads: f.NewCounterVec(prometheus.CounterOpts{
			Name: "poold_cloud_reloads_total",
			Help: "Changes of clouds.yaml and secure.yaml by outcome: taken, or failed, which changed nothing.",
		}, []string{"provider", "outcome"}).MustCurryWith(curry),
		failed: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "poold_cloud_reload_failed",
			Help: "1 while the files say something about the cloud that cannot be used; what they said before goes on.",
		}, []string{"provider"}).With(curry),
	}
}

// followClouds has all drivers follow their files until ctx ends.
func (d *Daemon) followClouds(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	followed := map[*reloader]context.CancelFunc{}
	for {
		s, changed := d.newest.get()
		wanted := map[*reloader]bool{}
		for _, reach := range s.clouds {
			wanted[reach.reloader] = true
			if followed[reach.reloader] != nil {
				continue
			}
			one, end := context.WithCancel(gctx)
			followed[reach.reloader] = end
			g.Go(func() error {
				_ = reach.reloader.run(one) // it ends with its context only
				return nil
			})
		}
		for r, end := range followed {
			if !wanted[r] {
				end()
				delete(followed, r)
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			for _, end := range followed {
				end()
			}
			return cmp.Or(g.Wait(), context.Cause(ctx))
		}
	}
}

// run follows the files until ctx ends.
func (r *reloader) run(ctx context.Context) error {
	for {
		if err := sleep.For(ctx, r.pause); err != nil {
			return err
		}
		r.look(ctx)
	}
}

// look looks once.
func (r *reloader) look(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, reloadTime)
	defer cancel()
	changed, err := r.driver.Reload(bounded)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		r.metrics.reloads.WithLabelValues("failed").Inc()
		r.metrics.failed.Set(1)
		r.log.Error("clouds.yaml not taken over", zap.Error(err))
	case changed:
		r.metrics.reloads.WithLabelValues("taken").Inc()
		r.metrics.failed.Set(0)
		r.log.Info("clouds.yaml taken over")
	}
}
