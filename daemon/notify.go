package daemon

import (
	"context"
	"slices"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
)

// notify tells systemd something; without systemd it does nothing.
func notify(log *zap.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd not notified", zap.String("state", state), zap.Error(err))
	}
}

// alive returns what tells whether the peer is: ctx goes on, and so do all
// loops. It logs which do not when that changes.
func (d *Daemon) alive(ctx context.Context) func() bool {
	var before []string
	return func() bool {
		stuck := d.pulse.stuck()
		if len(stuck) > 0 && !slices.Equal(stuck, before) {
			d.log.Error("loops are stuck", zap.Strings("duties", stuck))
		}
		before = stuck
		return ctx.Err() == nil && len(stuck) == 0
	}
}

// watchdog tells systemd that the process lives, as long as alive says so,
// twice as often as systemd asks; it returns at once if systemd does not ask.
func watchdog(ctx context.Context, log *zap.Logger, alive func() bool) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every <= 0 {
		return
	}
	tick := time.NewTicker(every / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if alive() {
				notify(log, daemon.SdNotifyWatchdog)
			}
		}
	}
}
