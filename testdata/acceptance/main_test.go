package acceptance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// binaries returns the directory that holds pg_manage and pg_manage-hook, built once for all tests as they are
// delivered: static, without the race detector.
var binaries = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(workDir, "bin")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", dir+string(filepath.Separator),
		"pg_manage/cmd/pg_manage", "pg_manage/cmd/pg_manage-hook")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return dir, nil
})

// workDir is set by TestMain and removed when all tests are done.
var workDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "pg_manage-acceptance-")
	if err != nil {
		panic(err)
	}
	workDir = dir
	m.Run() // its result becomes the exit status of the test binary
	if err := os.RemoveAll(dir); err != nil {
		panic(err)
	}
}
