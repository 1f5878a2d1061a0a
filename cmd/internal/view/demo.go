package view

import (
	"fmt"
	"io"
	"time"
)

// DemoRow tells of the row that went from the primary to the standby.
func DemoRow(w io.Writer, st Style, id int, note string, delay time.Duration) {
	fmt.Fprintf(w, "\n%s row %d, %q, was written on the primary and read on the standby %s later.\n\n", st.paint(bold+";"+green, "It works:"), id, clean(note), age(delay))
}

// Suggestion is a command to try.
type Suggestion struct{ Command, Purpose string }

// DemoNext tells what to try next.
func DemoNext(w io.Writer, st Style, try []Suggestion) {
	fmt.Fprintln(w, "\nTry next:")
	for _, s := range try {
		fmt.Fprintf(w, "  %s\n      %s\n", st.paint(dim, "# "+s.Purpose), s.Command)
	}
}
