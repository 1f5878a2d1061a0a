package repo

import (
	"bytes"
	"errors"
	"testing"

	"pg_manage/executor/remote/remotetest"
	"pg_manage/executor/repo/repotest"
	"pg_manage/executor/repo/storage"
)

// startSSHD gives a target behind OpenSSH's server; end kills that with all its sessions.
func startSSHD(t testing.TB, root string, settings ...string) (target Target, end func()) {
	t.Helper()
	s := remotetest.StartSSHD(t, settings...)
	return Target{
		Name: "nas", Scheme: "ssh", User: "root", Host: "127.0.0.1", Port: s.Port, Path: root,
		HostKeys: []string{s.HostKey}, IdentityFile: s.Identity,
	}, s.End
}

func TestConformanceThroughSSHD(t *testing.T) {
	for name, settings := range map[string][]string{
		"Shell":      nil,
		"SFTPOnly":   {"ForceCommand internal-sftp"},
		"NoCommands": {"ForceCommand /bin/false"},
		"TwoSessions": {
			"MaxSessions 2",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "NoCommands" {
				t.Setenv("HOME", t.TempDir())
			}
			target, _ := startSSHD(t, t.TempDir(), settings...)
			if name == "NoCommands" {
				if d, err := Open(t.Context(), target); err == nil {
					t.Errorf("a login without SFTP was taken: %v", d.Close())
				}
				return
			}
			repotest.Run(t, func(t *testing.T) storage.Driver {
				d, err := Open(t.Context(), target)
				if err != nil {
					t.Fatal(err)
				}
				return d
			})
		})
	}
}

func TestLostConnectionIsSaidSo(t *testing.T) {
	target, end := startSSHD(t, t.TempDir())
	d, err := Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() //nolint:errcheck // it is lost
	if err := d.Put(t.Context(), "a/b", bytes.NewBufferString("x")); err != nil {
		t.Fatal(err)
	}
	end()
	for range 3 {
		if err := d.Put(t.Context(), "a/c", bytes.NewBufferString("x")); !errors.Is(err, storage.ErrLost) {
			t.Errorf("got %v", err)
		}
	}
}
