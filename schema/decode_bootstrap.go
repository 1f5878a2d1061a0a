package schema

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"pg_manage/schema/postgres"
)

func (l *loader) bootstrap(b *block, c *Cluster) *Bootstrap {
	out := &Bootstrap{Locale: b.text("locale"), Range: rangeOf(b.def)}
	r := b.only("restore")
	if r == nil {
		return out
	}
	if b.has("locale") {
		b.wrong("locale", "A restored cluster has its locale already", "Remove locale, which is for a cluster that initdb makes, or the restore block.")
	}
	out.Restore = &Restore{
		Target:         l.targetOf(r),
		Cluster:        or(r.text("cluster"), c.Name),
		Backup:         r.text("backup"),
		RecoveryTarget: l.recoveryTarget(r),
		Timeline:       l.timeline(r),
		Tablespaces:    l.tablespaces(r),
		Range:          rangeOf(r.def),
	}
	for _, name := range []string{"cluster", "backup"} {
		if s := r.text(name); s != "" && !r.bad[name] && (strings.Contains(s, "/") || s == "." || s == "..") {
			r.wrong(name, fmt.Sprintf("%q cannot be a %s", s, name), "Write its name, without slashes.")
		}
	}
	return out
}

// timeline reads recovery_target_timeline.
func (l *loader) timeline(b *block) string {
	s := b.text("timeline")
	if s == "" {
		return defaultTimeline
	}
	if n, err := strconv.ParseUint(s, 10, 32); s != "latest" && s != "current" && (err != nil || n == 0) {
		b.wrong("timeline", fmt.Sprintf("%q is not a timeline", s), `Write "latest", "current" or a number from 1 up.`)
		return defaultTimeline
	}
	return s
}

// recoveryTarget reads the point at which recovery ends (PostgreSQL manual,
// "Recovery Target").
func (l *loader) recoveryTarget(b *block) RecoveryTarget {
	rt := RecoveryTarget{
		Time: b.text("time"), LSN: b.text("lsn"), XID: b.text("xid"), Name: b.text("name"),
		Immediate: b.flag("immediate", false), Inclusive: b.flag("inclusive", true),
	}
	var set []string
	for _, name := range []string{"time", "lsn", "xid", "name", "immediate"} {
		if b.has(name) && (name != "immediate" || rt.Immediate) {
			set = append(set, name)
		}
	}
	for _, name := range set[min(1, len(set)):] {
		b.wrong(name, fmt.Sprintf("Recovery cannot end at %q and at %q", set[0], name), "Keep one of time, lsn, xid, name and immediate.")
	}
	if at, err := postgres.ParseLSN(rt.LSN); rt.LSN != "" && (err != nil || at == 0) && !b.bad["lsn"] {
		b.wrong("lsn", fmt.Sprintf("%q is not an LSN", rt.LSN), `Write two hexadecimal numbers with a slash between them, for example "0/3000060".`)
	}
	if _, err := postgres.ParseXID(rt.XID); rt.XID != "" && err != nil && !b.bad["xid"] {
		b.wrong("xid", fmt.Sprintf("%q is not a transaction id", rt.XID), `Write its number, for example "731".`)
	}
	if len(rt.Name) > 63 {
		b.wrong("name", "The name of the restore point is too long", "PostgreSQL's restore points have at most 63 bytes.")
	}
	if rt.Time != "" && !b.bad["time"] {
		l.checkTime(b, rt.Time)
	}
	if b.has("inclusive") && rt.Time == "" && rt.LSN == "" && rt.XID == "" && !b.bad["time"] && !b.bad["lsn"] && !b.bad["xid"] {
		b.wrong("inclusive", `"inclusive" goes with time, lsn or xid`, "Remove it, or say where recovery ends.")
	}
	return rt
}

// ParseTime reads a moment with its zone, such as "2026-11-22 21:55:00+00"; PostgreSQL's
// forms of it and those of RFC 3339 are understood.
func ParseTime(s string) (time.Time, error) {
	norm := plainTime(s)
	for _, zone := range []string{"Z07:00", "Z0700", "Z07"} {
		for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04"} {
			if t, err := time.Parse(layout+zone, norm); err == nil {
				return t, nil
			}
		}
	}
	return time.Time{}, fmt.Errorf(`%q is not a time with its zone; write for example "2026-11-22 21:55:00+00"`, s)
}

// plainTime puts a T between day and hour, and nothing before the zone.
func plainTime(s string) string {
	return strings.Replace(strings.Replace(s, " ", "T", 1), " ", "", 1)
}

// checkTime wants a moment that means the same on every node, so with its zone.
func (l *loader) checkTime(b *block, s string) {
	if _, err := ParseTime(s); err == nil {
		return
	}
	norm := plainTime(s)
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, norm); err == nil {
			b.wrong("time", fmt.Sprintf("%q has no time zone", s),
				fmt.Sprintf("A node would read it in its own. Write for example %q.", t.Format("2006-01-02 15:04:05")+"+00"))
			return
		}
	}
	b.wrong("time", fmt.Sprintf("%q is not a time", s), `Write for example "2026-11-22 21:55:00+00".`)
}
