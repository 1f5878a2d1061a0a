package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

// Postgres is an installation of the server on this machine.
type Postgres struct {
	Major  int
	BinDir string
}

// FindPostgres finds the newest installation that this program can look after; false when there is none.
func FindPostgres() (Postgres, bool) {
	var found Postgres
	look := func(initdb string, version func() int) {
		if info, err := os.Stat(initdb); err != nil || info.IsDir() {
			return
		}
		if v := version(); v >= schema.OldestVersion && v > found.Major {
			found = Postgres{v, filepath.Dir(initdb)}
		}
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/initdb", "/usr/pgsql-*/bin/initdb"} {
		files, _ := filepath.Glob(pattern) // the patterns are well-formed
		for _, f := range files {
			look(f, func() int { return majorInPath(f) })
		}
	}
	if f, err := exec.LookPath("initdb"); err == nil && found.Major == 0 {
		if real, err := filepath.EvalSymlinks(f); err == nil {
			look(real, func() int { return majorOf(real) })
		}
	}
	return found, found.Major != 0
}

// majorInPath is the version in /usr/lib/postgresql/17/bin/initdb or /usr/pgsql-17/bin/initdb.
func majorInPath(path string) int {
	v, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(filepath.Dir(filepath.Dir(path))), "pgsql-"))
	if err != nil {
		return 0
	}
	return v
}

func majorOf(initdb string) int {
	out, err := exec.Command(initdb, "--version").Output()
	if err != nil {
		return 0
	}
	v, err := postgres.ParseVersion(string(out))
	if err != nil {
		return 0
	}
	return v.Major()
}

// createClusterConf keeps Debian's packages from creating and starting a cluster of their own.
const createClusterConf = "/etc/postgresql-common/createcluster.d/pg_manage-demo.conf"

// InstallPostgres installs the distribution's server packages on Debian and its
// kin, when this runs as root; elsewhere the error says what to type.
func InstallPostgres(ctx context.Context, out io.Writer) error {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("no PostgreSQL %d or later was found: install it, for example with `dnf install postgresql-server`, and run this again", schema.OldestVersion)
	}
	if os.Getuid() != 0 {
		return fmt.Errorf("no PostgreSQL %d or later was found: install it with `sudo apt-get install postgresql`, and run this again", schema.OldestVersion)
	}
	if err := os.MkdirAll(filepath.Dir(createClusterConf), 0o755); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if err := os.WriteFile(createClusterConf, []byte("create_main_cluster = false\n"), 0o644); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer os.Remove(createClusterConf)
	for _, args := range [][]string{{"update", "-q"}, {"install", "-y", "-q", "--no-install-recommends", "postgresql"}} {
		fmt.Fprintf(out, "$ apt-get %s\n", strings.Join(args, " "))
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("apt-get %s: %w", args[0], err)
		}
	}
	return nil
}
