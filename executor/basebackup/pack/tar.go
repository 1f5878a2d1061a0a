package pack

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strings"
	"time"
)

// tarBlock is the unit of a tar archive, in bytes.
const tarBlock = 512

// member is what the header of a member of an archive says.
type member struct {
	name     string
	dir      bool
	mode     uint32
	size     int64
	modified time.Time
}

// header appends the header of a member: ustar, or PAX where that does not do.
func (o *owner) header(dst []byte, m member) ([]byte, error) {
	if m.dir {
		m.name += "/"
	}
	name, prefix, ok := split(m.name)
	modified := m.modified.Unix()
	if !ok || m.size >= 1<<33 || modified < 0 || modified >= 1<<33 || o.uid >= 1<<21 || o.gid >= 1<<21 {
		return o.pax(dst, m)
	}
	start := len(dst)
	dst = append(dst, make([]byte, tarBlock)...)
	h := dst[start:]
	copy(h[0:100], name)
	octal(h[100:108], int64(m.mode))
	octal(h[108:116], int64(o.uid))
	octal(h[116:124], int64(o.gid))
	octal(h[124:136], m.size)
	octal(h[136:148], modified)
	copy(h[148:156], "        ") // the sum counts as spaces
	h[156] = '0'
	if m.dir {
		h[156] = '5'
	}
	copy(h[257:265], "ustar\x0000")
	copy(h[265:297], o.user)
	copy(h[297:329], o.group)
	copy(h[345:500], prefix)
	var sum int64
	for _, b := range h {
		sum += int64(b)
	}
	octal(h[148:155], sum)
	return dst, nil
}

// octal fills a field with a number and a zero byte behind it.
func octal(field []byte, n int64) {
	for i := len(field) - 2; i >= 0; i-- {
		field[i] = '0' + byte(n&7)
		n >>= 3
	}
	field[len(field)-1] = 0
}

// split spreads a path over the two fields that ustar has for it.
func split(path string) (name, prefix string, ok bool) {
	if len(path) <= 100 {
		return path, "", true
	}
	if len(path) > 256 {
		return "", "", false
	}
	i := strings.IndexByte(path[len(path)-101:], '/')
	if i < 0 {
		return "", "", false
	}
	i += len(path) - 101
	return path[i+1:], path[:i], i > 0 && i <= 155 && i+1 < len(path)
}

func (o *owner) pax(dst []byte, m member) ([]byte, error) {
	h := &tar.Header{
		Typeflag: tar.TypeReg, Name: m.name, Mode: int64(m.mode), Size: m.size, ModTime: m.modified,
		Uid: o.uid, Gid: o.gid, Uname: o.user, Gname: o.group, Format: tar.FormatPAX,
	}
	if m.dir {
		h.Typeflag = tar.TypeDir
	}
	b := bytes.NewBuffer(dst)
	if err := tar.NewWriter(b).WriteHeader(h); err != nil {
		return nil, fmt.Errorf("%q has no place in a tar archive: %w", m.name, err)
	}
	return b.Bytes(), nil
}

// pad appends the zeroes that a member of size bytes needs behind it.
func pad(dst []byte, size int64) []byte {
	var zeroes [tarBlock]byte
	return append(dst, zeroes[:-size&(tarBlock-1)]...)
}
