package codec

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	headerLine = "age-encryption.org/v1"
	// maxHeader bounds the header that StoredSum reads, in bytes; age has the same bound.
	maxHeader = 2 << 20
)

// StoredSum gives the SHA-256 of the plain content of an encrypted object, as its writer
// wrote it into the header: no key is needed. ok is false when the header is
// one of another writer, without it. It says nothing about the rest of the object, which
// only a reader with a key can check, and which that reader does check.
//
// The format is that of https://c2sp.org/age, version 1.
func StoredSum(r io.Reader) (sum [32]byte, ok bool, err error) {
	src := &source{r: io.LimitReader(r, maxHeader)}
	sum, ok, err = storedSum(bufio.NewReader(src))
	if err != nil {
		return [32]byte{}, false, (&reader{src: src}).explain(err)
	}
	return sum, ok, nil
}

func storedSum(r *bufio.Reader) (sum [32]byte, ok bool, err error) {
	line, err := readLine(r)
	if err != nil {
		return sum, false, err
	}
	if line != headerLine {
		return sum, false, errors.New("it does not begin as an age file does")
	}
	for {
		line, err := readLine(r)
		if err != nil {
			return sum, false, err
		}
		if mac, end := strings.CutPrefix(line, "--- "); end {
			if b, err := decode(mac); err != nil || len(b) != 32 {
				return sum, false, errors.New("the header's end is malformed")
			}
			return sum, ok, nil
		}
		words := strings.Split(line, " ")
		if words[0] != "->" || len(words) < 2 || words[1] == "" {
			return sum, false, errors.New("the header is malformed")
		}
		if words[1] == sumStanza {
			if ok {
				return sum, false, errors.New("the header has two checksums")
			}
			if sum, err = sumOf(words[2:]); err != nil {
				return sum, false, err
			}
			ok = true
		}
		if err := skipBody(r); err != nil {
			return sum, false, err
		}
	}
}

// skipBody reads the lines of a stanza's body: the first that is shorter than 64 ends it.
func skipBody(r *bufio.Reader) error {
	for {
		line, err := readLine(r)
		if err != nil {
			return err
		}
		if _, err := decode(line); err != nil || len(line) > 64 {
			return errors.New("the header's base64 is malformed")
		}
		if len(line) < 64 {
			return nil
		}
	}
}

// readLine reads a line of the header; none is longer than the reader's buffer.
func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", errors.New("a line of the header is too long")
	}
	if err != nil {
		return "", fmt.Errorf("reading the header: %w", err)
	}
	line = line[:len(line)-1]
	if bytes.ContainsFunc(line, func(c rune) bool { return c < ' ' || c > '~' }) {
		return "", errors.New("a line of the header is no text")
	}
	return string(line), nil
}

func decode(s string) ([]byte, error) { return base64.RawStdEncoding.Strict().DecodeString(s) }
