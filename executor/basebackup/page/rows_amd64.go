package page

import "golang.org/x/sys/cpu"

// rows has the lanes take in the rows of p.
func rows(sums *[lanes]uint32, p []byte) {
	if n := len(p) / row; n > 0 && cpu.X86.HasAVX2 {
		rowsAVX2(sums, &p[0], n)
		return
	}
	rowsGeneric(sums, p)
}

// rowsAVX2 has the lanes take in n rows, at least one, eight lanes in a register.
//
//go:noescape
func rowsAVX2(sums *[lanes]uint32, p *byte, n int)
