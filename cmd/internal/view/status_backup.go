package view

import (
	"fmt"
	"io"
	"strings"
	"time"

	"pg_manage/planner"
	"pg_manage/schema"
)

// BackupStatus is how the base backups that one rule asks for are doing.
type BackupStatus struct {
	Rule              string    `json:"rule"`
	Target            string    `json:"target"`
	Known             bool      `json:"known"`           // the target was asked and answered
	Error             string    `json:"error,omitempty"` // why it is not known
	Backups           int       `json:"backups"`         // that can be restored, as far as the catalogue tells
	Broken            int       `json:"broken,omitempty"`
	Newest            string    `json:"newest,omitempty"` // label of the newest that can be restored
	NewestTime        time.Time `json:"newest_time,omitzero"`
	AgeSeconds        *float64  `json:"age_seconds,omitempty"`         // since the newest was complete
	MaxAgeSeconds     float64   `json:"max_age_seconds,omitempty"`     // 0: backups are taken only when asked for
	ProvenLabel       string    `json:"proven_label,omitempty"`        // the backup that was proven last
	Proven            time.Time `json:"proven,omitzero"`               // when
	ProvenAgeSeconds  *float64  `json:"proven_age_seconds,omitempty"`  // since then
	ProveEverySeconds float64   `json:"prove_every_seconds,omitempty"` // 0: only when asked for
	OldestTime        time.Time `json:"oldest_time,omitzero"`          // end of the oldest that can be restored: where recovery can begin, when the archive is whole
	Problems          []string  `json:"problems,omitempty"`
}

// NewBackupStatus judges each backup rule of a cluster by what its targets said. Backups of
// another system identifier do not count, unless it is "".
func NewBackupStatus(c *schema.Cluster, catalog func(target string) *planner.CatalogFact, systemIdentifier string, now time.Time) []BackupStatus {
	var out []BackupStatus
	for _, r := range c.Backups {
		s := BackupStatus{Rule: r.Name, Target: r.Target.Name, MaxAgeSeconds: r.MaxAge.Seconds(), ProveEverySeconds: r.ProveEvery.Seconds()}
		f := catalog(r.Target.Name)
		switch {
		case f == nil:
			s.Error = "it was not asked"
		case !f.Known:
			s.Error = f.Error
		default:
			s.Known = true
			s.count(f, systemIdentifier, now)
			s.judge(r, now)
		}
		out = append(out, s)
	}
	return out
}

func (s *BackupStatus) count(f *planner.CatalogFact, system string, now time.Time) {
	ours := func(b *planner.BackupFact) bool { return system == "" || b.SystemIdentifier == system }
	for i := range f.Backups {
		b := &f.Backups[i]
		switch {
		case b.Broken != "":
			s.Broken++
			continue
		case !ours(b):
			continue
		}
		s.Backups++
		if s.OldestTime.IsZero() || b.StopTime.Before(s.OldestTime) {
			s.OldestTime = b.StopTime
		}
		if b.Proven.After(s.Proven) {
			s.ProvenLabel, s.Proven = b.Label, b.Proven
		}
	}
	if newest := planner.NewestBackup(f.Backups, ours); newest != nil {
		s.Newest, s.NewestTime = newest.Label, newest.StopTime
		seconds := max(0, now.Sub(s.NewestTime).Seconds())
		s.AgeSeconds = &seconds
	}
	if !s.Proven.IsZero() {
		seconds := max(0, now.Sub(s.Proven).Seconds())
		s.ProvenAgeSeconds = &seconds
	}
}

func (s *BackupStatus) judge(r *schema.Backup, now time.Time) {
	add := func(format string, args ...any) { s.Problems = append(s.Problems, fmt.Sprintf(format, args...)) }
	switch {
	case s.Backups == 0 && s.Broken > 0:
		add("no base backup at %s can be restored", s.Target)
	case s.Backups == 0 && r.MaxAge == 0 && r.ProveEvery == 0: // taken only when asked for
	case s.Backups == 0:
		add("there is no base backup at %s", s.Target)
	case r.MaxAge > 0 && s.NewestTime.Sub(now) > time.Hour:
		add("the newest base backup at %s is dated %s ahead of now: a clock is or was wrong, and its age cannot be told", s.Target, age(s.NewestTime.Sub(now)))
	case r.MaxAge > 0 && now.Sub(s.NewestTime) > r.MaxAge:
		add("the newest base backup at %s is %s old, and %q wants none older than %s", s.Target, age(now.Sub(s.NewestTime)), r.Name, age(r.MaxAge))
	}
	switch {
	case r.ProveEvery == 0 || s.Backups == 0:
	case s.Proven.IsZero():
		add("no base backup at %s was ever proven by a restore", s.Target)
	case now.Sub(s.Proven) > r.ProveEvery:
		add("the last base backup at %s that was proven by a restore was so %s ago, and %q wants that every %s", s.Target, age(now.Sub(s.Proven)), r.Name, age(r.ProveEvery))
	}
}

// backupsHuman writes a line for each rule.
func backupsHuman(w io.Writer, st Style, all []BackupStatus, now time.Time) {
	for _, s := range all {
		head := fmt.Sprintf("  backups at %s (%s): ", clean(s.Target), clean(s.Rule))
		if !s.Known {
			fmt.Fprintln(w, head+st.paint(yellow, "not known"))
			continue
		}
		if s.Newest == "" {
			fmt.Fprintln(w, head+st.paint(red, "none"))
			continue
		}
		when := age(now.Sub(s.NewestTime)) + " ago"
		if s.MaxAgeSeconds > 0 && now.Sub(s.NewestTime) > seconds(s.MaxAgeSeconds) {
			when = st.paint(red, when)
		}
		words := []string{fmt.Sprintf("%d, newest %s %s", s.Backups, clean(s.Newest), when)}
		if s.Broken > 0 {
			words = append(words, st.paint(red, plural(s.Broken, "broken one", "broken ones")))
		}
		if s.Proven.IsZero() {
			words = append(words, "never proven")
		} else {
			words = append(words, "proven "+age(now.Sub(s.Proven))+" ago")
		}
		words = append(words, "recoverable since "+stamp(s.OldestTime)+" ("+age(now.Sub(s.OldestTime))+")")
		fmt.Fprintln(w, head+strings.Join(words, ", "))
	}
}

// BackupCheck is the JSON form of `check backup`.
type BackupCheck struct {
	FormatVersion string               `json:"format_version"`
	Result        *bool                `json:"result"` // null when nobody could tell
	Clusters      []ClusterBackupState `json:"clusters"`
}

// ClusterBackupState is one cluster of BackupCheck.
type ClusterBackupState struct {
	Cluster string         `json:"cluster"`
	Rules   []BackupStatus `json:"rules"`
}

// Judge fills in the result: false where something is wrong, else null where something is not known.
func (c *BackupCheck) Judge() {
	yes, known, wrong := true, true, false
	for _, x := range c.Clusters {
		for _, s := range x.Rules {
			wrong = wrong || len(s.Problems) > 0
			known = known && s.Known
		}
	}
	switch {
	case wrong:
		yes = false
		c.Result = &yes
	case known:
		c.Result = &yes
	}
}

// BackupCheckHuman writes a line for each rule.
func BackupCheckHuman(w io.Writer, c BackupCheck) {
	for _, x := range c.Clusters {
		for _, s := range x.Rules {
			head := clean(x.Cluster + ": " + s.Rule)
			switch {
			case !s.Known:
				fmt.Fprintf(w, "%s: could not tell: %s\n", head, clean(s.Error))
			case len(s.Problems) > 0:
				fmt.Fprintf(w, "%s: %s\n", head, clean(strings.Join(s.Problems, "; ")))
			case s.Newest == "":
				fmt.Fprintf(w, "%s: no base backup, and none is asked for\n", head)
			default:
				fmt.Fprintf(w, "%s: newest %s, %s old\n", head, clean(s.Newest), age(seconds(*s.AgeSeconds)))
			}
		}
	}
}
