package daemon

import (
	"path/filepath"
	"testing"

	"poold/builder"
	"poold/config"
)

// Builds begin in a folder of their own, and find what the configuration names from
// poold's.
func TestRelativeFolders(t *testing.T) {
	here := t.TempDir()
	t.Chdir(here)
	var cfg config.Config
	cfg.Builder.ImagesDir, cfg.Builder.ElementsDir, cfg.Builder.LogRetention = "images", "mine:/theirs", 7
	got := dirsOf(&cfg)
	want := builder.Dirs{
		Images: filepath.Join(here, "images"), Elements: filepath.Join(here, "mine") + ":/theirs", LogRetention: 7,
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
