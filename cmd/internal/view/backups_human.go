package view

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// stamp is a point in time as a person reads it; always UTC, as labels are.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// BackupsHuman writes the backups of clusters as tables.
func BackupsHuman(w io.Writer, st Style, p BackupsPage) {
	for i, c := range p.Clusters {
		if i > 0 {
			fmt.Fprintln(w)
		}
		for j, t := range c.Targets {
			if j > 0 {
				fmt.Fprintln(w)
			}
			targetBackupsHuman(w, st, c, t, p.Time)
		}
		windowHuman(w, st, c, p.Time)
	}
}

func targetBackupsHuman(w io.Writer, st Style, c ClusterBackups, t TargetBackups, now time.Time) {
	who := ""
	if c.Node != "" {
		who = ", as " + clean(c.Node) + " sees it"
	}
	fmt.Fprintf(w, "%s%s:\n", st.paint(bold, "cluster "+clean(c.Cluster)+" at "+clean(t.Target)), who)
	if t.Error != "" {
		fmt.Fprint(w, "  "+st.paint(red, "✗")+strings.TrimPrefix(st.wrap("    ", clean(t.Error)), "   "))
		return
	}
	var own []Backup
	for _, b := range c.Backups {
		if b.Target == t.Target {
			own = append(own, b)
		}
	}
	if len(own) == 0 {
		fmt.Fprintln(w, "  no backup")
	} else {
		backupTable(w, st, own, now)
	}
	for _, label := range t.Unfinished {
		fmt.Fprintf(w, "  %s %s is not finished: it is being taken, or was left by one that died\n", st.paint(yellow, "!"), clean(label))
	}
}

// backupTable writes one line a backup, and one more for what is wrong with it.
func backupTable(w io.Writer, st Style, backups []Backup, now time.Time) {
	rows := [][]string{{"LABEL", "KIND", "NODE", "AGE", "TOOK", "SIZE", "STORED", "RATIO", "WAL", "PROVEN", "STATE"}}
	for _, b := range backups {
		rows = append(rows, []string{
			clean(b.Label), shortKind(b), clean(b.Node), age(seconds(b.AgeSeconds)), age(seconds(b.DurationSeconds)), size(b.SizeBytes), size(b.StoredBytes),
			fmt.Sprintf("%.1f", b.Ratio), walRange(b), proven(b, now), stateWords(b),
		})
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], columns(cell))
		}
	}
	right := []int{3, 4, 5, 6, 7} // numbers
	for i, row := range rows {
		var line strings.Builder
		for j, cell := range row {
			text := pad(cell, widths[j])
			if slices.Contains(right, j) {
				text = strings.Repeat(" ", widths[j]-columns(cell)) + cell
			}
			if j == len(row)-1 {
				text = cell
			}
			switch {
			case i == 0:
				text = st.paint(dim, text)
			case j == len(row)-1:
				text = st.paint(backupColor(backups[i-1]), text)
			}
			line.WriteString("  " + text)
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
		if i > 0 && backups[i-1].Why != "" {
			mark := st.paint(yellow, "!")
			if backups[i-1].State != backupDamaged {
				mark = st.paint(red, "✗")
			}
			fmt.Fprint(w, "    "+mark+strings.TrimPrefix(st.wrap("      ", clean(backups[i-1].Why)), "     "))
		}
	}
}

func shortKind(b Backup) string {
	kind := "full"
	if b.Kind != "full" {
		kind = "incr"
	}
	if b.Cold {
		kind += ", cold"
	}
	return kind
}

func walRange(b Backup) string {
	return fmt.Sprintf("%d %s-%s", b.Timeline, b.StartLSN, b.StopLSN)
}

func proven(b Backup, now time.Time) string {
	if b.Proven.IsZero() {
		return "never"
	}
	return age(now.Sub(b.Proven)) + " ago"
}

func stateWords(b Backup) string {
	if b.Pinned {
		return b.State + ", pinned"
	}
	return b.State
}

func backupColor(b Backup) string {
	switch b.State {
	case backupOK:
		return green
	case backupDamaged:
		return yellow
	default:
		return red
	}
}

func windowHuman(w io.Writer, st Style, c ClusterBackups, now time.Time) {
	switch r := c.Recoverable; {
	case c.Node == "": // which has been told
	case c.WALUnknown != "":
		fmt.Fprint(w, "  "+st.paint(yellow, "!")+strings.TrimPrefix(st.wrap("    ", "how far one can recover is not known: "+clean(c.WALUnknown)), "   "))
	case r != nil:
		to := r.ToLSN.String()
		if !r.To.IsZero() {
			to += ", archived " + age(now.Sub(r.To)) + " ago"
		}
		fmt.Fprintf(w, "  recoverable to any point from %s (%s ago) to %s\n", stamp(r.From), age(now.Sub(r.From)), to)
	case c.Whole():
		fmt.Fprintf(w, "  %s nothing can be recovered from this\n", st.paint(red, "✗"))
	}
}

// BackupHuman writes all that is known of one backup.
func BackupHuman(w io.Writer, st Style, d BackupDocument, now time.Time) {
	b := d.Backup
	fmt.Fprintf(w, "%s: %s\n", st.paint(bold, clean(b.Label)), st.paint(backupColor(b), stateWords(b)))
	if b.Why != "" {
		fmt.Fprint(w, st.wrap("    ", clean(b.Why)))
	}
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %s %s\n", pad(name, 10), fmt.Sprintf(format, args...))
	}
	kind := b.Kind
	if b.Cold {
		kind += ", of a stopped instance"
	}
	line("kind", "%s", kind)
	if len(d.Chain) > 0 {
		line("rests on", "%s", clean(strings.Join(d.Chain, ", ")))
	}
	where := clean(b.Node)
	if b.FromStandby {
		where += ", a standby"
	}
	line("cluster", "%s, system identifier %s, PostgreSQL %s", clean(d.Cluster), clean(b.SystemIdentifier), clean(b.PostgreSQL))
	line("taken", "%s to %s on %s, in %s, %s ago", stamp(b.StartTime), stamp(b.StopTime), where, age(seconds(b.DurationSeconds)), age(now.Sub(b.StopTime)))
	line("size", "%s in %d files; %s stored at %s, %.1f to 1, %s", size(b.SizeBytes), b.Files, size(b.StoredBytes), clean(d.Target), b.Ratio, storedHow(b))
	wal := "in the archive"
	if b.WAL == "included" {
		wal = "in the backup"
	}
	line("WAL", "timeline %d, %s to %s, %s", b.Timeline, b.StartLSN, b.StopLSN, wal)
	line("proven", "%s", proven(b, now))
	var oids []string
	for oid := range b.Tablespaces {
		oids = append(oids, oid)
	}
	slices.Sort(oids)
	for _, oid := range oids {
		line("tablespace", "%s at %s", clean(oid), clean(b.Tablespaces[oid]))
	}
}

func storedHow(b Backup) string {
	how := clean(b.Compression)
	if b.Encrypted {
		how += ", encrypted"
	}
	return how
}

// BackupTaken writes the one line that ends a backup.
func BackupTaken(w io.Writer, st Style, d BackupDocument) {
	b := d.Backup
	fmt.Fprintf(w, "%s %s: %s, %s stored at %s (%.1f to 1), in %s.\n", st.paint(bold+";"+green, "Backup complete:"), clean(b.Label),
		size(b.SizeBytes), size(b.StoredBytes), clean(d.Target), b.Ratio, age(seconds(b.DurationSeconds)))
	if b.Why != "" {
		fmt.Fprint(w, st.wrap("  ", st.paint(bold+";"+yellow, "Warning: ")+clean(b.Why)))
	}
}

// BackupPinHuman writes whether a backup is pinned now.
func BackupPinHuman(w io.Writer, p BackupPin) {
	if p.Pinned {
		fmt.Fprintf(w, "%s is pinned: retention leaves it, and what it rests on, alone\n", clean(p.Label))
		return
	}
	fmt.Fprintf(w, "%s is not pinned: retention decides\n", clean(p.Label))
}

// BackupIntentHuman writes what a backup would do.
func BackupIntentHuman(w io.Writer, i BackupIntent) {
	what := "a full backup"
	if i.Kind != "full" {
		what = "an incremental backup on the newest that serves"
		if i.Parent != "" {
			what = "an incremental backup on " + clean(i.Parent)
		}
	}
	where := clean(i.Node)
	switch {
	case i.Cold:
		where += ", which is stopped"
	case i.Standby:
		where += ", a standby"
	default:
		where += ", the primary"
	}
	fmt.Fprintf(w, "%s: would take %s on %s, to %s, as %q says\n", clean(i.Cluster), what, where, clean(i.Target), clean(i.Rule))
}
