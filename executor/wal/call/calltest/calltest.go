// Package calltest stands for the archiver in tests of its callers.
package calltest

import (
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"pg_manage/executor/wal/call"
)

// Place is a directory that stands for a data directory, in which the test runs, and
// the configuration beside it.
func Place(t *testing.T) (config string) {
	t.Helper()
	root := t.TempDir()
	if err := os.MkdirAll(root+"/data/pg_wal", 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(root + "/data")
	return root + "/hook.json"
}

// Fake is an archiver that the test writes. serve gets each connection, and holds the lock.
func Fake(t *testing.T, config string, serve func(c net.Conn)) (held *sync.Mutex) {
	t.Helper()
	t.Chdir(filepath.Dir(config)) // a short name for the socket
	l, err := net.Listen("unix", filepath.Base(call.SocketName(config)))
	t.Chdir("data")
	if err != nil {
		t.Fatal(err)
	}
	held = &sync.Mutex{}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			held.Lock()
			serve(c)
			held.Unlock()
			c.Close() //nolint:errcheck // a test's socket
		}
	})
	t.Cleanup(func() {
		l.Close() //nolint:errcheck // a test's socket
		all.Wait()
	})
	return held
}

// Asked reads what a caller asks; an empty request when it is none.
func Asked(c net.Conn) call.Request {
	_, payload, err := call.ReadFrame(c)
	if err != nil {
		return call.Request{}
	}
	q, err := call.DecodeRequest(payload)
	if err != nil {
		return call.Request{}
	}
	return q
}
