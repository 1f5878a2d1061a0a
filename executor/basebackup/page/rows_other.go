//go:build !amd64

package page

// rows has the lanes take in the rows of p.
func rows(sums *[lanes]uint32, p []byte) { rowsGeneric(sums, p) }
