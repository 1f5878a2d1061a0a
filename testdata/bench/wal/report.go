package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report collects the rows of the final table.
type report struct{ rows [][4]string }

func (r *report) row(what, goal, measured, figures string) {
	r.rows = append(r.rows, [4]string{what, goal, measured, figures})
}

func (r *report) notMeasured(what, goal, why string) { r.row(what, goal, "not measured", why) }

func (r *report) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\nWHAT\tGOAL\tMEASURED\tFIGURES\n") //nolint:errcheck // a terminal
	for _, row := range r.rows {
		fmt.Fprintln(t, strings.Join(row[:], "\t")) //nolint:errcheck // a terminal
	}
	_ = t.Flush()
}

func median[T int64 | uint64 | float64 | time.Duration](values []T) T {
	if len(values) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

// times says how many times as long a took as b.
func times(a, b time.Duration) string { return fmt.Sprintf("%.2fx", float64(a)/float64(b)) }

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func megabytes(n uint64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// spread is the fastest and the slowest of several.
func spread(ds []time.Duration) string {
	return fmt.Sprintf("%s to %s", seconds(slices.Min(ds)), seconds(slices.Max(ds)))
}
