//go:build bench

package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"poold/test/proc"
)

// root is where the repository is.
const root = "../.."

// bin is the folder of the binary, which is built once.
var bin string

func binary() string { return filepath.Join(bin, "poold") }

func TestMain(m *testing.M) {
	if text := os.Getenv(simulatorVariable); text != "" {
		if err := simulate(text); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "poold-bench")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }() // it is a temporary folder
		bin = dir
		err = proc.Build(context.Background(), bin, root+"/cmd/poold")
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	began := look(time.Now())
	code := m.Run()
	text := outcome.String(began, look(time.Now()))
	fmt.Print(text)
	if file := os.Getenv("BENCH_TABLE"); file != "" && code == 0 {
		if err := insert(file, text); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}
