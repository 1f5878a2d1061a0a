package sftp

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Sizes of a block of a file that one request carries, in bytes. What every server takes is
// smallBlock (draft-ietf-secsh-filexfer-02, section 3); OpenSSH's takes the large one, and
// says so. Larger ones cost a server and us a fraction: each has an answer of its own.
const (
	smallBlock = 32 << 10
	largeBlock = 255 << 10
)

// Packet types of SFTP, and the extension that tells a server's limits (OpenSSH's file
// PROTOCOL, section 4.8).
const (
	packetInit          = 1
	packetVersion       = 2
	packetExtended      = 200
	packetExtendedReply = 201
	limitsExtension     = "limits@openssh.com"
	maxGreeting         = 64 << 10
)

// greet begins a session, and asks the server how much it takes at once, for which the
// library has no way. What the library does first is then taken from here: its own
// greeting is not sent, and the server's answer is given again.
func (w *wire) greet() error {
	hello := []byte{0, 0, 0, 5, packetInit, 0, 0, 0, 3}
	if _, err := w.Write(hello); err != nil {
		return err
	}
	version, err := w.packet()
	if err != nil {
		return err
	}
	w.block = smallBlock
	if version[4] == packetVersion && announces(version, limitsExtension) {
		if w.block, err = w.askLimits(); err != nil {
			return err
		}
	}
	w.again, w.unsent = version, len(hello)
	return nil
}

// packet reads one packet, with its length in front.
func (w *wire) packet() ([]byte, error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(w, head); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head)
	if n < 1 || n > maxGreeting {
		return nil, fmt.Errorf("what answers is no SFTP server: it begins with %q", head)
	}
	b := append(head, make([]byte, n-1)...)
	_, err := io.ReadFull(w, b[len(head):])
	return b, err
}

// announces says whether a server's greeting names an extension: pairs of name and data
// behind the version.
func announces(version []byte, name string) bool {
	rest := version[min(len(version), 9):]
	for {
		got, after, ok := text(rest)
		if !ok {
			return false
		}
		if got == name {
			return true
		}
		if _, rest, ok = text(after); !ok {
			return false
		}
	}
}

// text reads a string of a packet.
func text(b []byte) (s string, rest []byte, ok bool) {
	if len(b) < 4 {
		return "", nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return "", nil, false
	}
	return string(b[4 : 4+n]), b[4+n:], true
}

// askLimits gives the size of the blocks that the server reads and writes. A limit of 0 is
// one that it doesn't tell.
func (w *wire) askLimits() (int, error) {
	q := []byte{0, 0, 0, 0, packetExtended, 0, 0, 0, 0}
	q = binary.BigEndian.AppendUint32(q, uint32(len(limitsExtension)))
	q = append(q, limitsExtension...)
	binary.BigEndian.PutUint32(q, uint32(len(q)-4))
	if _, err := w.Write(q); err != nil {
		return 0, err
	}
	a, err := w.packet()
	if err != nil {
		return 0, err
	}
	if a[4] != packetExtendedReply || len(a) < 9+3*8 {
		return smallBlock, nil
	}
	size := uint64(largeBlock)
	for i, room := range []uint64{1024, 0, 0} { // of a packet, with what is around the block; of a read; of a write
		limit := binary.BigEndian.Uint64(a[9+8*i:])
		if limit < smallBlock+room {
			return smallBlock, nil
		}
		size = min(size, limit-room)
	}
	return int(size), nil
}
