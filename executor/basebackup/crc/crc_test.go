package crc

import (
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

// TestSumOfBlocksIsThatOfTheWhole: files of all kinds of sizes.
func TestSumOfBlocksIsThatOfTheWhole(t *testing.T) {
	table := crc32.MakeTable(crc32.Castagnoli)
	for _, size := range []int{0, 1, 100, 8191, 8192, 8193, 16384, 100_000, 8192*64 + 512, 1 << 20} {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		var f File
		for at := 0; at < size; at += 8192 {
			block := b[at:min(at+8192, size)]
			f.Add(crc32.Checksum(block, table), int64(len(block)))
		}
		if want := crc32.Checksum(b, table); f.Sum != want {
			t.Errorf("%d bytes: %08x, want %08x", size, f.Sum, want)
		}
		cut := rand.IntN(size + 1)
		if got := Combine(crc32.Checksum(b[:cut], table), crc32.Checksum(b[cut:], table), int64(size-cut)); got != f.Sum {
			t.Errorf("%d bytes cut at %d: %08x, want %08x", size, cut, got, f.Sum)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	var f File
	b.SetBytes(8192)
	for i := range b.N {
		f.Add(uint32(i), 8192)
	}
}
