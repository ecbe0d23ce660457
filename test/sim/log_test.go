package sim

import (
	"bytes"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// logger keeps what is logged with the other things that happened, and is I10
// for logs.
func (w *world) logger() *zap.Logger {
	enc := zap.NewProductionEncoderConfig()
	enc.TimeKey, enc.CallerKey, enc.StacktraceKey = "", "", ""
	core := zapcore.NewCore(zapcore.NewJSONEncoder(enc), logLines{w}, zap.InfoLevel)
	return zap.New(core)
}

type logLines struct{ w *world }

// Write implements zapcore.WriteSyncer.
func (l logLines) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(secret)) {
		go l.w.judge.fail("I10", "the secret is in the log: %s", bytes.TrimSpace(line))
	}
	shake()
	l.w.note("%s", bytes.TrimSpace(line))
	return len(line), nil
}

// Sync implements zapcore.WriteSyncer.
func (logLines) Sync() error { return nil }
