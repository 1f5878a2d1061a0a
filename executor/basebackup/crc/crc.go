// Package crc gives the CRC-32C of a file from those of its blocks.
package crc

import "pg_manage/executor/basebackup/index"

// poly is CRC-32C's polynomial, reflected.
const poly = 0x82F63B78

// matrix is an operator on CRCs: column i is what bit i becomes.
type matrix [32]uint32

func (m *matrix) apply(crc uint32) uint32 {
	var sum uint32
	for i := 0; crc != 0; i, crc = i+1, crc>>1 {
		if crc&1 != 0 {
			sum ^= m[i]
		}
	}
	return sum
}

// then is the operator that does b after a.
func then(a, b *matrix) *matrix {
	var m matrix
	for i := range m {
		m[i] = b.apply(a[i])
	}
	return &m
}

// shift is what n zero bytes behind a message do to its CRC.
func shift(n int64) *matrix {
	var step, sum matrix
	step[0] = poly // one zero bit
	for i := range sum {
		sum[i] = 1 << i
		if i > 0 {
			step[i] = 1 << (i - 1)
		}
	}
	power := &step
	for range 3 { // one byte
		power = then(power, power)
	}
	all := &sum
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			all = then(all, power)
		}
		power = then(power, power)
	}
	return all
}

// Combine gives the CRC of two runs of bytes, one after the other, of which the second is n
// bytes long.
func Combine(first, second uint32, n int64) uint32 {
	if first == 0 || n == 0 {
		return first ^ second
	}
	return shift(n).apply(first) ^ second
}

// table is the operator of a whole block, a table for each byte.
type table [4][256]uint32

// block is a constant table.
var block = newTable(shift(index.BlockSize))

func newTable(m *matrix) *table {
	var t table
	for i := range t {
		for b := range t[i] {
			t[i][b] = m.apply(uint32(b) << (8 * i))
		}
	}
	return &t
}

// File is the CRC-32C of a file as far as its blocks were added.
type File struct {
	Sum uint32
}

// Add adds a block of n bytes with its CRC.
func (f *File) Add(sum uint32, n int64) {
	if n != index.BlockSize {
		f.Sum = Combine(f.Sum, sum, n)
		return
	}
	c := f.Sum
	f.Sum = block[0][byte(c)] ^ block[1][byte(c>>8)] ^ block[2][byte(c>>16)] ^ block[3][c>>24] ^ sum
}
