package walcheck

import "hash/crc32"

// castagnoli is the polynomial of WAL records' checksums, CRC-32C (pg_crc32c.h).
var castagnoli = crc32.MakeTable(crc32.Castagnoli) //nolint:gochecknoglobals // a constant table

// combine gives the checksum of a followed by b from the checksums of both and the
// length of b: it runs a's through as many zero bits as b has, by squaring the matrix
// over GF(2) that one zero bit stands for.
func combine(a, b uint32, length int64) uint32 {
	var op [32]uint32
	op[0] = crc32.Castagnoli
	for i := 1; i < 32; i++ {
		op[i] = 1 << (i - 1)
	}
	for bits := uint64(length) * 8; bits > 0; bits >>= 1 {
		if bits&1 == 1 {
			a = times(&op, a)
		}
		var square [32]uint32
		for i, column := range op {
			square[i] = times(&op, column)
		}
		op = square
	}
	return a ^ b
}

func times(m *[32]uint32, v uint32) (sum uint32) {
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 == 1 {
			sum ^= m[i]
		}
	}
	return sum
}
