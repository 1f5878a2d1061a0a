// Package page knows PostgreSQL's data pages: their checksums (checksum_impl.h), and which
// files of a data directory consist of them.
package page

import (
	"encoding/binary"

	"pg_manage/schema/postgres"
)

// lanes is how many sums run side by side (N_SUMS).
const lanes = 32

// prime multiplies in every step (FNV_PRIME).
const prime = 16777619

// offsets are what the sums begin with (checksumBaseOffsets). A constant table.
var offsets = [lanes]uint32{
	0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
	0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
	0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
	0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756,
}

// row is how many bytes the lanes take in at once.
const row = lanes * 4

// Checksum is what pd_checksum of a page ought to be, as block number block of the whole
// relation. The length of p is a multiple of 128 bytes, and not zero.
func Checksum(p []byte, block uint32) uint16 {
	sums := offsets
	head := [row]byte(p)
	head[8], head[9] = 0, 0 // pd_checksum itself counts as zero
	var zeroes [2 * row]byte
	rows(&sums, head[:])
	rows(&sums, p[row:])
	rows(&sums, zeroes[:]) // mixes in two more rounds
	for _, s := range sums {
		block ^= s
	}
	return uint16(block%65535 + 1)
}

// LSN is pd_lsn: the end of the WAL record that last changed the page.
func LSN(p []byte) postgres.LSN {
	return postgres.LSN(binary.LittleEndian.Uint32(p))<<32 | postgres.LSN(binary.LittleEndian.Uint32(p[4:]))
}

// New says whether the page was never filled: pd_upper is zero (PageIsNew).
func New(p []byte) bool { return p[14] == 0 && p[15] == 0 }

// Verify says whether a page is in order: it is all zeroes, or its checksum fits. That is what
// the server asks of a page that it reads (PageIsVerified). Block counts from the beginning of the
// relation, over all its segments.
func Verify(p []byte, block uint32) bool {
	if New(p) {
		return zero(p)
	}
	return binary.LittleEndian.Uint16(p[8:]) == Checksum(p, block)
}

func zero(p []byte) bool {
	for len(p) >= 8 {
		if binary.LittleEndian.Uint64(p) != 0 {
			return false
		}
		p = p[8:]
	}
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}
