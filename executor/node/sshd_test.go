package node_test

import (
	"os"
	"path/filepath"
	"testing"

	"pg_manage/executor/basebackup/pgtest"
	"pg_manage/executor/remote/remotetest"
	"pg_manage/executor/repo"
)

// sshd runs OpenSSH's server, and gives a target behind it that the server's user reaches.
func sshd(t *testing.T, pg *pgtest.Server, target repo.Target) repo.Target {
	t.Helper()
	s := remotetest.StartSSHD(t, "MaxStartups 100")
	identity := filepath.Join(pg.Root, "id")
	key, err := os.ReadFile(s.Identity)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(identity, key, 0o600); err != nil {
		t.Fatal(err)
	}
	pg.Own(identity)
	target.Scheme, target.User, target.Host, target.Port, target.IdentityFile = "ssh", "root", "127.0.0.1", s.Port, identity
	target.HostKeys = []string{s.HostKey}
	return target
}
