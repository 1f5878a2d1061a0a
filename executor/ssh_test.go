package executor_test

import (
	"errors"
	"os/user"
	"testing"
	"time"

	"pg_manage/executor"
	"pg_manage/executor/remote"
	"pg_manage/executor/remote/remotetest"
)

// overSSH makes the world's host one that is reached through an SSH server.
func (w *world) overSSH() *remotetest.Server {
	w.t.Helper()
	// The server dials sockets as the user of the test, so that is whom it lets in.
	me, err := user.Current()
	if err != nil {
		w.t.Fatal(err)
	}
	s := remotetest.StartServer(w.t, remotetest.WithUser(me.Username))
	h, err := remote.Dial(w.t.Context(), s.Options("here"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { h.Close() })
	w.host = h
	return s
}

// TestOverSSH: the same through a connection, with every command in a session. A server
// that kept hold of the session's outputs would never let its start step end.
func TestOverSSH(t *testing.T) {
	w := newWorld(t, "n1", "n2")
	s := w.overSSH()
	w.declare("", "n1", "n2")
	w.apply()
	w.settled()

	l, err := executor.AcquireLease(t.Context(), w.host, "n1", owner(t).Username, executor.LeaseDir(w.state("n1")), executor.LeaseOptions{Holder: "ann@laptop"})
	if err != nil {
		t.Fatal(err)
	}
	s.DropConnections()
	select {
	case <-l.Done():
	case <-time.After(time.Minute):
		t.Fatal("the holder did not notice that its connection is gone")
	}
	if !errors.Is(l.Err(), executor.ErrLeaseLost) {
		t.Errorf("got %v", l.Err())
	}
	h, err := remote.Dial(t.Context(), s.Options("here"))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	again, err := executor.AcquireLease(t.Context(), h, "n1", owner(t).Username, executor.LeaseDir(w.state("n1")), executor.LeaseOptions{Holder: "bob@desk", Timeout: time.Minute})
	if err != nil {
		t.Fatalf("the lease of a connection that is gone: %v", err)
	}
	again.Release()
}
