package daemon

import (
	"context"
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
