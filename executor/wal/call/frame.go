package call

import (
	"errors"
	"io"
	"strings"
)

// Version is that of the protocol. The two sides may come from different builds for a
// while after an upgrade.
const Version = "1"

// Types of frames; see the package's description.
const (
	FrameRequest = 'q'
	FrameWorking = 'w'
	FrameOut     = 'o'
	FrameSay     = 's'
	FrameExit    = 'x'
	FrameGone    = 'g'
)

// maxFrame bounds a frame's payload, in bytes.
const maxFrame = 1 << 20

var errFrame = errors.New("not a frame of the archiver's protocol")

// WriteFrame sends one frame with one write.
func WriteFrame(w io.Writer, kind byte, payload []byte) error {
	if len(payload) > maxFrame {
		payload = payload[:maxFrame]
	}
	b := make([]byte, 5+len(payload))
	n := len(payload)
	b[0], b[1], b[2], b[3], b[4] = kind, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	copy(b[5:], payload)
	_, err := w.Write(b)
	return err
}

// ReadFrame reads one frame. io.EOF is an end between two of them.
func ReadFrame(r io.Reader) (kind byte, payload []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	// Not encoding/binary, which brings in package reflect.
	n := uint32(head[1])<<24 | uint32(head[2])<<16 | uint32(head[3])<<8 | uint32(head[4])
	if n > maxFrame {
		return 0, nil, errFrame
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return head[0], payload, nil
}

// Request is what the archiver is asked.
type Request struct {
	Version string
	Dir     string   // working directory of the caller: PostgreSQL's data directory
	Config  string   // absolute path of the configuration file
	Args    []string // the command and its arguments, without --config
}

// Encode gives the payload of the request's frame. A field cannot hold a NUL byte,
// nor can what the kernel gives as a path or an argument.
func (q Request) Encode() []byte {
	return []byte(strings.Join(append([]string{q.Version, q.Dir, q.Config}, q.Args...), "\x00") + "\x00")
}

// DecodeRequest reads what Encode gave.
func DecodeRequest(b []byte) (Request, error) {
	text, ok := strings.CutSuffix(string(b), "\x00")
	f := strings.Split(text, "\x00")
	if !ok || len(f) < 4 {
		return Request{}, errFrame
	}
	return Request{Version: f[0], Dir: f[1], Config: f[2], Args: f[3:]}, nil
}
