// Package table prints what a benchmark measured: what, the goal, the ratio, the figures.
package table

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report collects the rows of the final table.
type Report struct{ rows [][4]string }

// Row adds a row.
func (r *Report) Row(what, goal, measured, figures string) {
	r.rows = append(r.rows, [4]string{what, goal, measured, figures})
}

// NotMeasured adds a row without a figure, and why.
func (r *Report) NotMeasured(what, goal, why string) { r.Row(what, goal, "not measured", why) }

// Print writes the table.
func (r *Report) Print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\nWHAT\tGOAL\tMEASURED\tFIGURES\n") //nolint:errcheck // a terminal
	for _, row := range r.rows {
		fmt.Fprintln(t, strings.Join(row[:], "\t")) //nolint:errcheck // a terminal
	}
	_ = t.Flush()
}

// Median is the one in the middle; of an even number the greater of both; 0 of none.
func Median[T int64 | uint64 | float64 | time.Duration](values []T) T {
	if len(values) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

// Times says how many times as long a took as b.
func Times(a, b time.Duration) string { return fmt.Sprintf("%.2fx", float64(a)/float64(b)) }

// Milliseconds writes a short time.
func Milliseconds(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }

// Seconds writes a long time.
func Seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// Megabytes writes a size in millions of bytes.
func Megabytes(n uint64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// Spread is the fastest and the slowest of several.
func Spread(ds []time.Duration) string {
	return fmt.Sprintf("%s to %s", Seconds(slices.Min(ds)), Seconds(slices.Max(ds)))
}
