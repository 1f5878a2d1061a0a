package repo

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// BenchmarkPutThroughSSHD stores files as large as a compressed segment, eight at a time,
// and tells the processor time of both ends: the elapsed time says little on loopback.
func BenchmarkPutThroughSSHD(b *testing.B) {
	content := make([]byte, 4<<20)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range content {
		content[i] = byte(r.Uint32())
	}
	root, err := os.MkdirTemp("/var/tmp", "put-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(root) }) //nolint:errcheck // a temporary directory
	target, end := startSSHD(b, root)
	defer end()
	sshd := pidOf(b, filepath.Join(filepath.Dir(target.IdentityFile), "pid"))
	b.SetBytes(int64(len(content)))
	d, err := Open(context.Background(), target)
	if err != nil {
		b.Fatal(err)
	}
	if err := d.Put(context.Background(), "first/file", bytes.NewReader(content)); err != nil {
		b.Fatal(err)
	}
	own, n := processorTime(b), 0
	for b.Loop() {
		var g errgroup.Group
		for range 8 {
			n++
			name := fmt.Sprintf("dir/%08d", n)
			g.Go(func() error { return d.Put(context.Background(), name, bytes.NewReader(content)) })
		}
		if err := g.Wait(); err != nil {
			b.Fatal(err)
		}
	}
	own = processorTime(b) - own
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(own.Microseconds())/1000/float64(n), "client-ms/file")
	b.ReportMetric(float64(reaped(b, sshd).Microseconds())/1000/float64(n), "server-ms/file")
}

// pidOf reads the file that sshd writes its own into, soon after it listens.
func pidOf(b *testing.B, file string) int {
	b.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		text, _ := os.ReadFile(file)
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			return pid
		}
	}
	b.Fatalf("%s: sshd has not written its pid", file)
	return 0
}

// processorTime is that of this process.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// reaped is the processor time of sshd's sessions, which have ended, with all they ran.
func reaped(b *testing.B, sshd int) time.Duration {
	b.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		left, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", sshd, sshd))
		if err != nil {
			b.Fatal(err)
		}
		if len(left) == 0 {
			break
		}
		if time.Now().After(end) {
			b.Fatal("sshd's sessions did not end")
		}
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", sshd))
	if err != nil {
		b.Fatal(err)
	}
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var user, system int64
	if _, err := fmt.Sscan(f[13]+" "+f[14], &user, &system); err != nil {
		b.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond // clock ticks of a hundredth of a second
}
