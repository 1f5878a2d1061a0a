package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"pg_manage/executor/basebackup/index"
	"pg_manage/schema/postgres"
)

// Manifest is what a manifest has beside its files.
type Manifest struct {
	Version          int
	SystemIdentifier uint64 // 0 in version 1
	Ranges           []Range
}

// maxLine bounds a line and a value, in bytes: hostile input must not fill the memory.
const maxLine = 1 << 20

// Read reads a manifest, and hands its files out as it goes; an error of file ends the
// reading. What it handed out counts only when Read returned no error: the checksum of
// the manifest comes last. Files with another checksum than CRC32C are an error.
func Read(r io.Reader, file func(File) error) (*Manifest, error) {
	src := &source{r: r, sum: sha256.New()}
	d := &decoder{json: json.NewDecoder(src), src: src, file: file}
	m, err := d.manifest()
	if err != nil {
		return nil, fmt.Errorf("backup_manifest: %w", err)
	}
	return m, nil
}

// source hands on the bytes of a reader, and sums up all lines but the last.
type source struct {
	r    io.Reader
	sum  hash.Hash
	line []byte // the last one, which is not in the sum
	used int64
	max  int64 // of used, at the moment
}

func (s *source) Read(p []byte) (int, error) {
	if s.used > s.max {
		return 0, fmt.Errorf("a value of more than %d bytes", maxLine)
	}
	n, err := s.r.Read(p)
	s.used += int64(n)
	for b := p[:n]; len(b) > 0; {
		if len(s.line) > 0 && s.line[len(s.line)-1] == '\n' {
			s.sum.Write(s.line)
			s.line = s.line[:0]
		}
		i := bytes.IndexByte(b, '\n') + 1
		if i == 0 {
			i = len(b)
		}
		s.line = append(s.line, b[:i]...)
		if len(s.line) > maxLine {
			return n, fmt.Errorf("a line of more than %d bytes", maxLine)
		}
		b = b[i:]
	}
	return n, err
}

type decoder struct {
	json *json.Decoder
	src  *source
	file func(File) error
}

// next lets the decoder read as much as one value may have.
func (d *decoder) next() { d.src.max = d.json.InputOffset() + 2*maxLine }

func (d *decoder) token() (json.Token, error) {
	d.next()
	t, err := d.json.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return t, err
}

func (d *decoder) value(v any) error {
	d.next()
	err := d.json.Decode(v)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (d *decoder) delim(want json.Delim) error {
	t, err := d.token()
	if err == nil && t != want {
		err = fmt.Errorf("%v where %v should be", t, want)
	}
	return err
}

func (d *decoder) manifest() (*Manifest, error) {
	if err := d.delim('{'); err != nil {
		return nil, err
	}
	var m Manifest
	var sum string
	seen := map[string]bool{}
	for {
		t, err := d.token()
		if err != nil {
			return nil, err
		}
		if t == json.Delim('}') {
			break
		}
		key, _ := t.(string)
		if seen[key] {
			return nil, fmt.Errorf("%q twice", key)
		}
		seen[key] = true
		switch key {
		case "PostgreSQL-Backup-Manifest-Version":
			if err = d.value(&m.Version); err == nil && m.Version != 1 && m.Version != 2 {
				err = fmt.Errorf("version %d: this program reads 1 and 2", m.Version)
			}
		case "System-Identifier":
			err = d.value(&m.SystemIdentifier)
		case "Files":
			err = d.files()
		case "WAL-Ranges":
			err = d.ranges(&m)
		case "Manifest-Checksum":
			err = d.value(&sum)
		default:
			err = errors.New("an unknown key")
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", key, err)
		}
	}
	d.next()
	if _, err := d.json.Token(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = errors.New("something lies behind its end")
		}
		return nil, err
	}
	switch {
	case m.Version == 0 || !seen["Files"] || (m.Version > 1) != seen["System-Identifier"]:
		return nil, errors.New("it is not whole")
	case sum != hex.EncodeToString(d.src.sum.Sum(nil)):
		return nil, errors.New("its checksum does not fit: it was damaged or changed")
	case !bytes.HasPrefix(d.src.line, []byte(`"Manifest-Checksum"`)):
		return nil, errors.New("its checksum is not on the last line")
	}
	return &m, nil
}

func (d *decoder) files() error {
	if err := d.delim('['); err != nil {
		return err
	}
	for d.next(); d.json.More(); d.next() {
		var e struct {
			Path     *string `json:"Path"`
			Encoded  *string `json:"Encoded-Path"`
			Size     int64   `json:"Size"`
			Modified string  `json:"Last-Modified"`
			Kind     string  `json:"Checksum-Algorithm"`
			Sum      string  `json:"Checksum"`
		}
		if err := d.value(&e); err != nil {
			return err
		}
		f := File{Size: e.Size}
		switch {
		case (e.Path == nil) == (e.Encoded == nil):
			return errors.New("a file needs one of Path and Encoded-Path")
		case e.Path != nil:
			f.Path = *e.Path
		default:
			b, err := hex.DecodeString(*e.Encoded)
			if err != nil {
				return err
			}
			f.Path = string(b)
		}
		if err := index.CheckPath(f.Path); err != nil {
			return err
		}
		sum, err := hex.DecodeString(e.Sum)
		if err != nil || e.Kind != "CRC32C" || len(sum) != 4 || e.Size < 0 {
			return fmt.Errorf("%s: size %d, checksum %s %q: want CRC32C", f.Path, e.Size, e.Kind, e.Sum)
		}
		f.CRC = binary.LittleEndian.Uint32(sum)
		if f.MTime, err = time.Parse(timeForm, e.Modified); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
		if err := d.file(f); err != nil {
			return err
		}
	}
	return d.delim(']')
}

func (d *decoder) ranges(m *Manifest) error {
	if err := d.delim('['); err != nil {
		return err
	}
	for d.next(); d.json.More(); d.next() {
		var e struct {
			Timeline postgres.Timeline `json:"Timeline"`
			Start    postgres.LSN      `json:"Start-LSN"`
			End      postgres.LSN      `json:"End-LSN"`
		}
		if err := d.value(&e); err != nil {
			return err
		}
		if m.Ranges = append(m.Ranges, Range(e)); len(m.Ranges) > 10_000 {
			return errors.New("too many")
		}
	}
	return d.delim(']')
}
