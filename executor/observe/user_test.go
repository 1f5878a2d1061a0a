package observe

import (
	"os/user"
	"strconv"
	"syscall"
	"testing"
)

// asUser makes a process run as the owner.
func asUser(t *testing.T) *syscall.SysProcAttr {
	t.Helper()
	u, err := user.Lookup(me(t))
	if err != nil {
		t.Fatal(err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}
