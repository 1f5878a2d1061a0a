package lab

import (
	"bytes"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// echoTime is the round trip of one TCP connection to the node's sshd: its handshake.
func echoTime(t *testing.T, n *Node) time.Duration {
	t.Helper()
	start := time.Now()
	c, err := net.DialTimeout("tcp", net.JoinHostPort(n.IP, "22"), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	d := time.Since(start)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDelayHoldsEveryRoundTripAndKeepsConnections(t *testing.T) {
	l := Start(t, Options{Nodes: []NodeSpec{{Name: "node1"}, {Name: "node2"}}})
	n, other := l.Node("node1"), l.Node("node2")

	// A connection that is open from before the delay to after it.
	cmd := l.SSH("root", "node1", "cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	talk := func(text string) time.Duration {
		t.Helper()
		start := time.Now()
		if _, err := io.WriteString(in, text); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(text))
		if _, err := io.ReadFull(out, got); err != nil || string(got) != text {
			t.Fatalf("%q came back as %q: %v", text, got, err)
		}
		return time.Since(start)
	}
	talk("before")

	for _, ms := range []int{50, 20} {
		if err := n.Delay(ms); err != nil {
			t.Fatal(err)
		}
		echoTime(t, n) // the first one may ask for the address too
		want := time.Duration(ms) * time.Millisecond
		for range 5 {
			if d := echoTime(t, n); d < want {
				t.Errorf("a round trip took %s with a delay of %s", d, want)
			}
		}
		if d := talk("during"); d < want {
			t.Errorf("the old connection answered within %s with a delay of %s", d, want)
		}
		if _, err := other.Exec("ssh-keyscan", "-T", "5", n.IP); err != nil {
			t.Errorf("another node does not reach it: %v", err)
		}
		start := time.Now()
		const size = 64 << 20
		c := l.SSH("root", "node1", "head -c 67108864 /dev/zero")
		var got bytes.Buffer
		c.Stdout = &got
		if err := c.Run(); err != nil || got.Len() != size {
			t.Fatalf("%d bytes came: %v", got.Len(), err)
		}
		t.Logf("%d ms: a handshake takes %s; ssh login and 64 MiB %s", ms, echoTime(t, n), time.Since(start))
	}

	if err := n.Cut(); err != nil {
		t.Fatal(err)
	}
	if c, err := net.DialTimeout("tcp", net.JoinHostPort(n.IP, "22"), 300*time.Millisecond); err == nil {
		t.Errorf("a node without a cable answers: %v", c.Close())
	}
	if err := n.Join(); err != nil {
		t.Fatal(err)
	}
	echoTime(t, n)

	if err := n.Delay(0); err != nil {
		t.Fatal(err)
	}
	talk("after")
	best := time.Hour
	for end := time.Now().Add(time.Minute); best >= 20*time.Millisecond && time.Now().Before(end); { // which a busy machine may take for one
		best = min(best, echoTime(t, n))
	}
	if best >= 20*time.Millisecond {
		t.Errorf("without a delay the best of a minute's round trips takes %s", best)
	}
	if exists(n.slow()) || n.port() != n.veth() {
		t.Error("the slow cable is still there")
	}
	if err := n.Delay(5); err != nil {
		t.Fatal(err)
	}
	if err := n.PowerOff(); err != nil {
		t.Fatal(err)
	}
	if err := n.PowerOn(); err != nil {
		t.Fatal(err)
	}
	if exists(n.slow()) {
		t.Error("the slow cable outlived the node's power")
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its node went away
}

func TestCarryKeepsOrderAndHoldsBack(t *testing.T) {
	const delay = 20 * time.Millisecond
	q := newFrames(delay)
	pr, pw := io.Pipe()
	var sent time.Time
	go func() {
		sent = time.Now()
		for i := range 1000 {
			pw.Write([]byte{byte(i), byte(i >> 8)}) //nolint:errcheck // a pipe
		}
		pw.Close() //nolint:errcheck // a pipe
	}()
	if err := q.fill(pr); err != io.EOF {
		t.Fatal(err)
	}
	or, ow := io.Pipe()
	go q.drain(ow) //nolint:errcheck // ends with the test
	b := make([]byte, 2)
	for i := range 1000 {
		if _, err := io.ReadFull(or, b); err != nil {
			t.Fatal(err)
		}
		if i == 0 && time.Since(sent) < delay {
			t.Errorf("a frame came after %s", time.Since(sent))
		}
		if got := int(b[0]) | int(b[1])<<8; got != i {
			t.Fatalf("frame %d came as number %d", got, i)
		}
	}
	q.stop()
}
