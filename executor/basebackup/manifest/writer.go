// Package manifest writes and reads backup_manifest files (PostgreSQL manual, "Backup Manifest
// Format"; backup_manifest.c), which pg_verifybackup checks a backup against.
package manifest

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"pg_manage/schema/postgres"
)

// Header says what begins a manifest.
type Header struct {
	Major            int    // version of the server: 13 to 16 have manifests of version 1, later ones of version 2
	SystemIdentifier uint64 // only version 2 has it
}

// File is one file of a backup.
type File struct {
	Path  string // in the data directory, with slashes; any bytes
	Size  int64
	MTime time.Time
	CRC   uint32 // CRC-32C
}

// Range is WAL that recovery needs, on one timeline.
type Range struct {
	Timeline postgres.Timeline
	Start    postgres.LSN
	End      postgres.LSN
}

// timeForm is the form of times, always GMT.
const timeForm = "2006-01-02 15:04:05 GMT"

// Writer writes a manifest. It is not for several goroutines.
type Writer struct {
	w     *bufio.Writer // to the sum and to the destination
	dst   io.Writer
	sum   hash.Hash
	line  []byte
	files int64
}

// NewWriter begins a manifest.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	m := &Writer{dst: w, sum: sha256.New()}
	m.w = bufio.NewWriterSize(io.MultiWriter(m.sum, w), 64<<10)
	text := "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n"
	if h.Major >= 17 {
		text = fmt.Sprintf("{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Identifier\": %d,\n", h.SystemIdentifier)
	}
	_, err := m.w.WriteString(text + `"Files": [`)
	return m, err
}

// Write adds a file.
func (m *Writer) Write(f File) error {
	b := append(m.line[:0], '\n')
	if m.files > 0 {
		b = append(m.line[:0], ",\n"...)
	}
	m.files++
	if utf8.ValidString(f.Path) {
		b = append(b, `{ "Path": `...)
		b = quote(b, f.Path)
	} else {
		b = append(b, `{ "Encoded-Path": "`...)
		b = hex.AppendEncode(b, []byte(f.Path))
		b = append(b, '"')
	}
	b = append(b, `, "Size": `...)
	b = strconv.AppendInt(b, f.Size, 10)
	b = append(b, `, "Last-Modified": "`...)
	b = f.MTime.UTC().AppendFormat(b, timeForm)
	b = append(b, `", "Checksum-Algorithm": "CRC32C", "Checksum": "`...)
	// In the byte order of the server, which is little-endian wherever this program runs.
	b = hex.AppendEncode(b, binary.LittleEndian.AppendUint32(nil, f.CRC))
	m.line = append(b, `" }`...)
	_, err := m.w.Write(m.line)
	return err
}

// Close ends the manifest with the WAL that is needed, the newest timeline first. It does not close
// the destination.
func (m *Writer) Close(ranges []Range) error {
	text := "\n],\n\"WAL-Ranges\": [\n"
	for i, r := range ranges {
		if i > 0 {
			text += ",\n"
		}
		text += fmt.Sprintf(`{ "Timeline": %d, "Start-LSN": "%s", "End-LSN": "%s" }`, r.Timeline, r.Start, r.End)
	}
	if _, err := m.w.WriteString(text + "\n],\n"); err != nil {
		return err
	}
	if err := m.w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(m.dst, "\"Manifest-Checksum\": \"%x\"}\n", m.sum.Sum(nil))
	return err
}

// quote appends s as a JSON string, as PostgreSQL's escape_json does.
func quote(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = fmt.Appendf(b, "\\u%04x", c)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
