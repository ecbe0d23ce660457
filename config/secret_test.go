package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"gopkg.in/yaml.v3"

	"poold/config"
)

// TestSecretHides checks that no way of printing shows a secret, also inside
// of something else.
func TestSecretHides(t *testing.T) {
	s := config.NewSecret("hunter2")
	type box struct {
		S      config.Secret
		P      *config.Secret
		hidden config.Secret
	}
	b := box{S: s, P: &s, hidden: s}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb+"\n", s, b, &b)
	}
	j, err := json.Marshal(b)
	y, err2 := yaml.Marshal(b)
	out.Write(j)
	out.Write(y)
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{}), zapcore.AddSync(&out), zap.DebugLevel))
	log.Info("x", zap.Any("a", s), zap.Stringer("b", s), zap.Reflect("c", b), zap.Any("d", b.hidden))
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "hunter2") || strings.Contains(out.String(), fmt.Sprintf("%x", "hunter2")) {
		t.Errorf("shown:\n%s", out.String())
	}
	if !strings.Contains(string(j), `u003csecret`) && !strings.Contains(string(j), "<secret>") {
		t.Errorf("got JSON %s", j)
	}
	if s.Reveal() != "hunter2" {
		t.Error("lost")
	}
	if got := (config.Secret{}).String(); got != "" {
		t.Errorf("an empty secret prints %q", got)
	}
}
