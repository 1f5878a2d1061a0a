package view

import (
	"fmt"
	"io"
	"strings"
	"time"

	"pg_manage/planner"
)

// archiveHuman writes a line for each target, and below it why it is not well.
func archiveHuman(w io.Writer, st Style, a *ArchiveStatus) {
	told := false // the errors that are not of one target
	for i, t := range a.Targets {
		name := clean(t.Target)
		if !t.Required {
			name += " (not required)"
		}
		fmt.Fprintf(w, "  archive at %s: %s\n", name, strings.Join(targetWords(st, a, t), ", "))
		why := t.Error
		if t.Required && !told {
			if told = true; why == "" {
				why = a.Error
			}
		}
		if why != "" {
			fmt.Fprint(w, st.wrap("    ", clean(why)))
		}
		if i == 0 && a.State == archiveFailing && !a.FailedTime.IsZero() {
			look := ""
			if a.Error == failsFor(a.FailedWAL) {
				look = "; the reason is in the server's log on the primary"
			}
			fmt.Fprintf(w, "    failed %s so far, last at %s%s\n", plural(int(a.Failed), "time", "times"), a.FailedTime.UTC().Format(time.RFC3339), look)
		}
	}
}

func targetWords(st Style, a *ArchiveStatus, t TargetStatus) []string {
	color := yellow
	switch t.State {
	case archiveOK:
		color = green
	case archiveFailing, archiveOff, archiveForeign, archiveUnreachable:
		color = red
	}
	if !t.Required && color == red {
		color = yellow
	}
	words := []string{st.paint(color, t.State)}
	if t.Required {
		if a.LastWAL != "" {
			last := "last " + clean(a.LastWAL)
			if a.AgeSeconds != nil {
				last += " " + age(time.Duration(*a.AgeSeconds*float64(time.Second))) + " ago"
			}
			words = append(words, last)
		}
		if a.State != archiveUnknown {
			words = append(words, waiting(a.BacklogSegment, a.BacklogBytes))
		}
		if a.RateBytes > 0 {
			words = append(words, size(a.RateBytes)+"/s")
		}
	} else if t.QueuedSegments != nil {
		text := waiting(*t.QueuedSegments, t.QueuedBytes)
		if t.QueueLimit > 0 {
			text += " of at most " + size(t.QueueLimit)
		}
		words = append(words, text)
	}
	if n := droppedSegments(t.Dropped); n > 0 {
		words = append(words, st.paint(red, plural(n, "segment", "segments")+" dropped"))
	}
	return words
}

func waiting(segments int, bytes *int64) string {
	text := plural(segments, "segment", "segments")
	if bytes != nil && *bytes > 0 {
		text += " (" + size(*bytes) + ")"
	}
	return text + " waiting"
}

func droppedSegments(ranges []planner.DroppedWAL) int {
	n := 0
	for _, d := range ranges {
		n += d.Segments
	}
	return n
}
