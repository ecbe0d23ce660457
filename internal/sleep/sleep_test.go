package sleep_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"poold/internal/sleep"
)

func TestFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		if err := sleep.For(t.Context(), time.Hour); err != nil || time.Since(begin) != time.Hour {
			t.Errorf("after %v: %v, want an hour and no error", time.Since(begin), err)
		}
		end := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(end) })
		begin = time.Now()
		if err := sleep.For(ctx, time.Hour); !errors.Is(err, end) || time.Since(begin) != time.Minute {
			t.Errorf("after %v: %v, want a minute and the cause", time.Since(begin), err)
		}
	})
}
