package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// DefaultMirror is used when the machine's own apt sources name no Debian mirror.
const DefaultMirror = "http://deb.debian.org/debian"

// PostgresOf returns the PostgreSQL major version that a Debian suite ships, 0 for a suite the lab does not know.
func PostgresOf(suite string) int {
	switch suite {
	case "bullseye":
		return 13
	case "bookworm":
		return 15
	case "trixie":
		return 17
	case "sid":
		return 18
	}
	return 0
}

// CacheDir returns the directory that holds the base roots and the disks of running nodes.
func CacheDir() (string, error) {
	if d := os.Getenv("PG_MANAGE_LAB_CACHE"); d != "" {
		return filepath.Abs(d)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("lab: no cache directory: %w; set PG_MANAGE_LAB_CACHE", err)
	}
	return filepath.Join(home, ".cache", "pg_manage-lab"), nil
}

// contents is part of a root's name in the cache: raise it with every change of what a root holds.
const contents = 2

// EnsureBase returns the root file system of a Debian suite with its PostgreSQL, and builds it when the cache does not
// hold it yet (some minutes). Two builders of the same root wait for each other.
func EnsureBase(ctx context.Context, suite string) (string, error) {
	pg := PostgresOf(suite)
	if pg == 0 {
		return "", fmt.Errorf("lab: unknown Debian suite %q; write bullseye, bookworm, trixie or sid", suite)
	}
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, fmt.Sprintf("base-%s-pg%d-%d", suite, pg, contents))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := need("debootstrap", "debootstrap"); err != nil {
		return "", err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("lab: cache directory: %w", err)
	}
	unlock, err := lockWait(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil // another builder was first
	}
	if err := build(ctx, dir, suite, pg); err != nil {
		return "", err
	}
	return dir, nil
}

func build(ctx context.Context, dir, suite string, pg int) (err error) {
	partial, logName := dir+".partial", dir+".log"
	if err := os.RemoveAll(partial); err != nil {
		return fmt.Errorf("lab: remove an unfinished root: %w", err)
	}
	log, err := os.Create(logName)
	if err != nil {
		return fmt.Errorf("lab: log of the build: %w", err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()

	args := []string{
		"--variant=minbase",
		fmt.Sprintf("--include=postgresql-%d,openssh-server,openssh-client,iproute2,procps,sudo,rsync,zstd,locales,ca-certificates", pg),
		suite, partial, mirror("/etc/apt"),
	}
	const scripts = "/usr/share/debootstrap/scripts"
	if _, err := os.Stat(filepath.Join(scripts, suite)); err != nil {
		args = append(args, filepath.Join(scripts, "sid")) // the suite is younger than this debootstrap
	}
	cmd := exec.CommandContext(ctx, "debootstrap", args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("lab: %s: %w; see %s", strings.Join(cmd.Args, " "), err, logName)
	}
	version := fmt.Sprint(pg)
	if _, err := os.Stat(filepath.Join(partial, "etc/postgresql", version, "main")); err == nil {
		drop := exec.CommandContext(ctx, "chroot", partial, "pg_dropcluster", version, "main")
		drop.Stdout, drop.Stderr = log, log
		if err := drop.Run(); err != nil {
			return fmt.Errorf("lab: drop the packaged cluster of %s: %w; see %s", partial, err, logName)
		}
	}
	if err := os.Rename(partial, dir); err != nil {
		return fmt.Errorf("lab: publish the root: %w", err)
	}
	return nil
}

// mirror finds the Debian mirror in apt's sources below etc, in the deb822 and the one-line form (sources.list(5)).
func mirror(etc string) string {
	names, _ := filepath.Glob(filepath.Join(etc, "sources.list.d", "*"))
	for _, name := range append([]string{filepath.Join(etc, "sources.list")}, names...) {
		data, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		s := bufio.NewScanner(bytes.NewReader(data))
		for s.Scan() {
			f := strings.Fields(s.Text())
			if len(f) == 0 || (f[0] != "deb" && !strings.EqualFold(f[0], "URIs:")) {
				continue
			}
			for _, w := range f[1:] {
				trimmed := strings.TrimRight(w, "/")
				if strings.HasPrefix(w, "http") && strings.HasSuffix(trimmed, "/debian") && !strings.Contains(w, "archive.debian.org") {
					return trimmed
				}
			}
		}
	}
	return DefaultMirror
}

// need fails when a program is missing, and names the Debian package that has it.
func need(program, pkg string) error {
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("lab: %s is missing: apt-get install %s (testdata/test.sh installs all that the lab needs)", program, pkg)
	}
	return nil
}

// lockWait takes an exclusive lock on a file and waits for it as long as it takes.
func lockWait(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lab: lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lab: lock %s: %w", name, err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}
