package view

import (
	"fmt"
	"io"
	"strings"
)

// ExpirePage is the JSON form of `backup expire`.
type ExpirePage struct {
	FormatVersion string         `json:"format_version"`
	DryRun        bool           `json:"dry_run"`
	Complete      bool           `json:"complete"` // every target was asked, and all went that was to go
	Targets       []ExpireTarget `json:"targets"`
}

// ExpireTarget is what retention does to the backups of a cluster at one target.
type ExpireTarget struct {
	Cluster    string          `json:"cluster"`
	Target     string          `json:"target"`
	Keep       []ExpireVerdict `json:"keep"`   // oldest first
	Remove     []ExpireVerdict `json:"remove"` // oldest first
	Removed    []string        `json:"removed"`
	FreedBytes int64           `json:"freed_bytes"` // what the backups to remove take
	WAL        []ExpireWAL     `json:"wal"`
	Error      string          `json:"error,omitempty"`
}

// ExpireVerdict is one backup, and why it stays or goes.
type ExpireVerdict struct {
	Label       string   `json:"label"`
	StoredBytes int64    `json:"stored_bytes"`
	Why         []string `json:"why"`
}

// ExpireWAL is what goes of one archive.
type ExpireWAL struct {
	Target   string `json:"target"`
	Segments int64  `json:"segments"`
	Bytes    int64  `json:"bytes"`
	Last     string `json:"last,omitempty"`  // the newest that goes
	Stays    string `json:"stays,omitempty"` // why none may go
	Error    string `json:"error,omitempty"`
}

// Nothing says that nothing is to go.
func (p ExpirePage) Nothing() bool {
	for _, t := range p.Targets {
		if len(t.Remove) > 0 {
			return false
		}
		for _, w := range t.WAL {
			if w.Segments > 0 {
				return false
			}
		}
	}
	return true
}

// ExpirePlanHuman writes what is to go and why, and what stays and why.
func ExpirePlanHuman(w io.Writer, st Style, p ExpirePage) {
	for i, t := range p.Targets {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s:\n", st.paint(bold, "cluster "+clean(t.Cluster)+" at "+clean(t.Target)))
		if t.Error != "" {
			fmt.Fprint(w, "  "+st.paint(red, "✗")+strings.TrimPrefix(st.wrap("    ", clean(t.Error)), "   "))
			continue
		}
		for _, v := range t.Remove {
			fmt.Fprintf(w, "  %s %s  %s  %s\n", st.paint(red, "-"), clean(v.Label), size(v.StoredBytes), st.paint(dim, clean(strings.Join(v.Why, "; "))))
		}
		for _, v := range t.Keep {
			fmt.Fprintf(w, "    %s  %s  %s\n", clean(v.Label), size(v.StoredBytes), st.paint(dim, "stays: "+clean(strings.Join(v.Why, "; "))))
		}
		for _, x := range t.WAL {
			expireWALHuman(w, st, x, "goes")
		}
		fmt.Fprintf(w, "  %s to remove (%s), %s\n", plural(len(t.Remove), "backup", "backups"), size(t.FreedBytes), plural(len(t.Keep), "stays", "stay"))
	}
}

func expireWALHuman(w io.Writer, st Style, x ExpireWAL, verb string) {
	switch {
	case x.Error != "":
		fmt.Fprint(w, "  "+st.paint(red, "✗")+strings.TrimPrefix(st.wrap("    ", "WAL at "+clean(x.Target)+": "+clean(x.Error)), "   "))
	case x.Segments > 0:
		last := ""
		if x.Last != "" {
			last = " up to " + clean(x.Last)
		}
		fmt.Fprintf(w, "  %s WAL at %s: %s%s %s (%s)\n", st.paint(red, "-"), clean(x.Target), plural(int(x.Segments), "file", "files"), last, verb, size(x.Bytes))
	case x.Stays != "":
		fmt.Fprint(w, "  "+st.paint(yellow, "!")+strings.TrimPrefix(st.wrap("    ", "WAL at "+clean(x.Target)+" stays: "+clean(x.Stays)), "   "))
	}
}

// ExpiredHuman writes what went.
func ExpiredHuman(w io.Writer, st Style, p ExpirePage) {
	for _, t := range p.Targets {
		if len(t.Removed) > 0 {
			fmt.Fprintf(w, "%s at %s: removed %s\n", clean(t.Cluster), clean(t.Target), clean(strings.Join(t.Removed, ", ")))
		}
		for _, x := range t.WAL {
			expireWALHuman(w, st, x, "went")
		}
		if t.Error != "" {
			fmt.Fprint(w, "  "+st.paint(red, "✗")+strings.TrimPrefix(st.wrap("    ", clean(t.Cluster)+" at "+clean(t.Target)+": "+clean(t.Error)), "   "))
		}
	}
}
