package view

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"pg_manage/planner"
)

// ArchiveStatusHuman writes how nodes see the archives of their clusters.
func ArchiveStatusHuman(w io.Writer, st Style, p ArchiveStatusPage) {
	for i, n := range p.Nodes {
		if i > 0 {
			fmt.Fprintln(w)
		}
		who := ""
		if n.Node != "" {
			who = " as " + clean(n.Node) + " sees it"
		}
		fmt.Fprintf(w, "%s%s:\n", st.paint(bold, "cluster "+clean(n.Cluster)), who)
		if n.Error != "" {
			fmt.Fprint(w, "  "+st.paint(red, "✗")+strings.TrimPrefix(st.wrap("    ", clean(n.Error)), "   "))
			continue
		}
		archiveHuman(w, st, n.Archive)
		for _, t := range n.Archive.Targets {
			for _, d := range t.Dropped {
				since := ""
				if !d.Since.IsZero() {
					since = ", since " + d.Since.UTC().Format(time.RFC3339)
				}
				fmt.Fprintf(w, "  %s %s lacks %s to %s (%s%s)\n", st.paint(red, "✗"), clean(t.Target), clean(d.From), clean(d.To), plural(d.Segments, "segment", "segments"), since)
			}
		}
		for _, a := range n.Contents {
			contentsHuman(w, st, a)
		}
		archiverHuman(w, n, p.Time)
	}
}

// contentsHuman writes in short what an archive has and lacks.
func contentsHuman(w io.Writer, st Style, a ArchiveAudit) {
	if a.Error != "" { // which has been told, where the target is out of reach
		return
	}
	for _, t := range a.Timelines {
		for _, r := range t.Missing {
			fmt.Fprintf(w, "  %s %s lacks %s to %s (%s)\n", st.paint(red, "✗"), clean(a.Target), clean(r.From), clean(r.To), plural(int(r.Segments), "segment", "segments"))
		}
	}
	fmt.Fprintf(w, "  %s holds %s (%s)\n", clean(a.Target), plural(int(a.Segments), "segment", "segments"), size(a.StoredBytes))
	for _, r := range a.Recoverable {
		fmt.Fprintf(w, "    recovery can go from %s to %s%s\n", clean(r.FromLSN), clean(r.ToLSN), through(r))
	}
}

func archiverHuman(w io.Writer, n NodeArchiveStatus, now time.Time) {
	a := n.Archiver
	if a == nil {
		return
	}
	words := []string{"not running; the next segment starts it"}
	if a.Running {
		words = []string{"running (pid " + strconv.Itoa(a.PID) + ")"}
		if a.RateBytes > 0 {
			words = append(words, size(a.RateBytes)+"/s")
		}
	}
	if a.Last != "" {
		last := "last stored " + clean(a.Last)
		if !a.LastTime.IsZero() {
			last += " " + age(now.Sub(a.LastTime)) + " ago"
		}
		words = append(words, last)
	}
	fmt.Fprintf(w, "  archiver: %s\n", strings.Join(words, ", "))
	if a.Error != "" {
		when := ""
		if !a.ErrorTime.IsZero() {
			when = " " + age(now.Sub(a.ErrorTime)) + " ago"
		}
		fmt.Fprintf(w, "    last error%s: %s\n", when, clean(a.Error))
	}
}

// ArchiveCheckHuman writes what was found in archives.
func ArchiveCheckHuman(w io.Writer, st Style, c ArchiveCheck) {
	for i, a := range c.Archives {
		if i > 0 {
			fmt.Fprintln(w)
		}
		auditHuman(w, st, a, c.Quick)
	}
	if c.Quick {
		fmt.Fprintln(w, st.paint(dim, "Only names were looked at; without --quick every stored byte is read."))
	}
}

func auditHuman(w io.Writer, st Style, a ArchiveAudit, quick bool) {
	where := st.paint(bold, "cluster "+clean(a.Cluster)+", archive at "+clean(a.Target))
	if a.Error != "" {
		fmt.Fprintf(w, "%s: %s\n", where, st.paint(bold+";"+red, "could not be checked"))
		fmt.Fprint(w, st.wrap("    ", clean(a.Error)))
		return
	}
	verdict := st.paint(bold+";"+green, "whole")
	switch {
	case !a.Whole():
		verdict = st.paint(bold+";"+red, "NOT whole")
	case quick:
		verdict = st.paint(bold+";"+green, "nothing is missing")
	}
	fmt.Fprintf(w, "%s: %s, %s (%s stored), read by %s\n", where, verdict, plural(int(a.Segments), "segment", "segments"), size(a.StoredBytes), clean(a.Node))
	for _, t := range a.Timelines {
		timelineHuman(w, st, t)
	}
	for _, p := range a.Problems {
		mark := st.paint(yellow, "!")
		if p.Harmful() {
			mark = st.paint(red, "✗")
		}
		text := clean(p.Kind) + ": " + clean(p.Name)
		if p.Detail != "" {
			text += ": " + clean(p.Detail)
		}
		fmt.Fprint(w, "  "+mark+strings.TrimPrefix(st.wrap("    ", text), "   "))
	}
	for _, r := range a.Recoverable {
		fmt.Fprintf(w, "  recovery can go from %s to %s%s\n", clean(r.FromLSN), clean(r.ToLSN), through(r))
	}
	if len(a.Recoverable) == 0 {
		fmt.Fprintln(w, "  nothing can be recovered from it")
	}
}

func timelineHuman(w io.Writer, st Style, t AuditTimeline) {
	name := fmt.Sprintf("timeline %d", t.Timeline)
	if t.Parent != 0 {
		name += fmt.Sprintf(" (from %d at %s)", t.Parent, clean(t.ForkLSN))
	}
	for _, r := range t.Ranges {
		fmt.Fprintf(w, "  %s: %s to %s, %s\n", name, clean(r.From), clean(r.To), plural(int(r.Segments), "segment", "segments"))
	}
	if len(t.Ranges) == 0 {
		fmt.Fprintf(w, "  %s: no segments\n", name)
	}
	for _, r := range t.Missing {
		fmt.Fprintf(w, "  %s %s: %s to %s MISSING, %s\n", st.paint(red, "✗"), name, clean(r.From), clean(r.To), plural(int(r.Segments), "segment", "segments"))
	}
}

// through names the timelines of a recovery that crosses from one to another.
func through(r AuditSpan) string {
	words := make([]string, len(r.Through))
	for i, t := range r.Through {
		words[i] = strconv.FormatUint(uint64(t), 10)
	}
	if len(words) < 2 {
		return fmt.Sprintf(" on timeline %d", r.Timeline)
	}
	return " through timelines " + strings.Join(words, ", ")
}

// shownPushed is how many names of stored segments are shown at most.
const shownPushed = 20

// ArchivePushHuman writes what was stored that an archive lacked.
func ArchivePushHuman(w io.Writer, st Style, p ArchivePush) {
	for _, n := range p.Nodes {
		where := clean(planner.StepID(n.Cluster, n.Node))
		if n.Target != "" {
			where += " to " + clean(n.Target)
		}
		where = st.paint(bold, where)
		if n.Error != "" {
			fmt.Fprintf(w, "%s: %s\n", where, st.paint(red, "failed"))
			fmt.Fprint(w, st.wrap("    ", clean(n.Error)))
		}
		if n.Error == "" || len(n.Pushed) > 0 {
			verb := "stored"
			if p.DryRun {
				verb = "would store"
			}
			fmt.Fprintf(w, "%s: %s %s; %s of pg_wal there already\n", where, verb, plural(len(n.Pushed), "file", "files"), plural(int(n.Present), "file", "files"))
		}
		for i, name := range n.Pushed {
			if i == shownPushed {
				fmt.Fprintf(w, "  + ... and %s\n", plural(len(n.Pushed)-i, "more", "more"))
				break
			}
			fmt.Fprintf(w, "  %s %s\n", st.paint(green, "+"), clean(name))
		}
		for _, f := range n.Failed {
			fmt.Fprint(w, "  "+st.paint(red, "✗")+strings.TrimPrefix(st.wrap("    ", clean(f.Name)+": "+clean(f.Error)), "   "))
		}
		for _, r := range n.Unpushable {
			fmt.Fprintf(w, "  %s %s to %s (%s) is missing in the archive and no longer in pg_wal: take a new base backup\n", st.paint(red, "✗"), clean(r.From), clean(r.To), plural(int(r.Segments), "segment", "segments"))
		}
	}
}
