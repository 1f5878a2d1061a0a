package view

import (
	"fmt"
	"strconv"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

// size is a number of bytes as people read it, in powers of 1024: 1.5 MB, as
// PostgreSQL's pg_size_pretty counts.
func size(n int64) string {
	const step = 1024
	if n < step {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n), ""
	for _, u := range []string{"kB", "MB", "GB", "TB", "PB"} {
		v /= step
		unit = u
		if v < step {
			break
		}
	}
	if v < 10 {
		return fmt.Sprintf("%.1f %s", v, unit)
	}
	return fmt.Sprintf("%.0f %s", v, unit)
}

// age is a length of time with as many figures as a person needs: 0.4s, 12s,
// 3m20s, 5h10m, 3d4h.
func age(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 950*time.Millisecond && d > 0:
		return fmt.Sprintf("%.1fs", max(d.Seconds(), 0.1))
	case d < time.Minute:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < time.Hour:
		d = d.Round(time.Second)
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		h := int(d.Hours())
		return fmt.Sprintf("%dd%dh", h/24, h%24)
	}
}
