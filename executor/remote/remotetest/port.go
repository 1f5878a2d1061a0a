package remotetest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"testing"
)

// FreePort gives a port of 127.0.0.1 for a server that the test starts as a program of its
// own. It lies outside the range that the kernel takes ports of connections and of
// listeners on port 0 from, so that nobody has it by chance when the program starts. Until
// the test ends its UDP twin is held, by which all tests that ask here keep out of each
// other's way, in whatever process.
func FreePort(t testing.TB) int {
	t.Helper()
	const first = 10_000
	from, to := 32_768, 60_999 // the kernel's own choice
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if _, err := fmt.Sscan(string(text), &from, &to); err != nil {
			t.Fatalf("ip_local_port_range is %q: %v", text, err)
		}
	}
	for range 10_000 {
		port := first + rand.IntN(65_536-first)
		if from <= port && port <= to {
			continue
		}
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		held, err := net.ListenPacket("udp4", addr)
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp4", addr)
		if err != nil {
			held.Close()
			continue
		}
		l.Close()
		t.Cleanup(func() { held.Close() })
		return port
	}
	t.Fatal("no port of 127.0.0.1 is free")
	return 0
}
