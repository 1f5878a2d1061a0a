package codec

import (
	"bufio"
	"encoding/binary"
	"io"
)

// Unsummed says whether the object of which r, a Reader of this package, gives the plain
// content has no checksum of it, so that a changed byte may pass for content. Plain files
// have none. What a codec compresses or encrypts has one; what another program has
// compressed may do without (zstd --no-check, lz4 --no-frame-crc).
func Unsummed(r io.Reader) bool {
	own, ok := r.(*reader)
	return !ok || own.unsummed
}

// Magic numbers of frames, and the flags in the byte behind them that say that the content
// has a checksum (RFC 8878, section 3.1.1.1.1; LZ4 frame format, "Frame Descriptor").
const (
	zstdMagic = 0xFD2FB528
	zstdSum   = 1 << 2
	lz4Magic  = 0x184D2204
	lz4Sum    = 1 << 2
)

// hasSum says whether an object of an extension, which r starts with, has a checksum of
// its content, as far as its first frame says. Nothing is read of r.
func hasSum(r *bufio.Reader, ext string) bool {
	start, _ := r.Peek(announcementSize + 5) // an error comes again when the content is read
	if _, ok := announced(start); ok && ext == pairExt {
		start = start[announcementSize:]
	}
	if len(start) < 5 {
		return ext == ".gz"
	}
	magic, flags := binary.LittleEndian.Uint32(start), start[4]
	switch ext {
	case ".zst":
		return magic == zstdMagic && flags&zstdSum != 0
	case ".lz4":
		return magic == lz4Magic && flags&lz4Sum != 0
	}
	return ext == ".gz" // always (RFC 1952)
}
