package planner

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"pg_manage/schema/postgres"
)

// ArchiveWAL is what one WAL archive has of a cluster, as far as recovery is concerned.
type ArchiveWAL struct {
	Target           string        `json:"target"`          // "": the cluster has no archive
	Error            string        `json:"error,omitempty"` // why it is not known; then nothing that needs it is chosen
	SystemIdentifier string        `json:"system_identifier"`
	SegmentSize      int64         `json:"segment_size"` // bytes
	Timelines        []WALTimeline `json:"timelines"`
	Runs             []WALRun      `json:"runs"`
	Ends             []WALEnd      `json:"ends,omitempty"` // of the timelines that were looked at
}

// WALRun is a stretch of sound WAL that recovery to a timeline can read without a hole.
type WALRun struct {
	Timeline postgres.Timeline `json:"timeline"` // on which it ends
	From     postgres.LSN      `json:"from"`
	To       postgres.LSN      `json:"to"` // the first byte that is not in it
}

// WALEnd is what the archive has last on the path to a timeline.
type WALEnd struct {
	Timeline postgres.Timeline `json:"timeline"`
	Record   postgres.LSN      `json:"record,omitempty"` // start of the newest record; 0 when not known
	Commit   time.Time         `json:"commit,omitzero"`  // of the newest end of a transaction; zero when not known
}

// RecoveryPoint is where recovery shall end; at most one of Time, LSN, XID, Name and Immediate
// is set; none: at the end of the WAL (PostgreSQL manual, "Recovery Target").
type RecoveryPoint struct {
	Time      time.Time
	LSN       postgres.LSN
	XID       string
	Name      string
	Immediate bool
	Exclusive bool
	// Found is where the archive has it, in order: the end of the transaction, the restore
	// points of the name, or the first end of a transaction behind the time. Of XID and Name
	// it must be there; of Time it may.
	Found []WALPosition
}

// WALPosition is a record of interest: its start, and its time as the server wrote it.
type WALPosition struct {
	LSN  postgres.LSN `json:"lsn"`
	Time time.Time    `json:"time"`
}

// RecoveryQuery asks which backup serves.
type RecoveryQuery struct {
	Backups  []BackupFact
	Backup   string // label of the one that must serve; "" leaves the choice
	Point    RecoveryPoint
	Timeline string // latest (also when empty), current (the backup's, the newest one's when none is named) or a number
	Archive  ArchiveWAL
}

// RecoveryChoice is the backup that serves, and where recovery will end.
type RecoveryChoice struct {
	Backup   string              `json:"backup"`
	Timeline postgres.Timeline   `json:"timeline"` // that recovery follows
	Setting  string              `json:"setting"`  // recovery_target_timeline: "current" or a number
	Path     []postgres.Timeline `json:"path"`     // from the backup's timeline on, oldest first
	Start    postgres.LSN        `json:"start"`
	EndLSN   postgres.LSN        `json:"end_lsn,omitempty"` // 0 when not known
	EndTime  time.Time           `json:"end_time,omitzero"` // likewise
	Notices  []string            `json:"notices,omitempty"`
}

// Why no backup serves, the most telling last.
const (
	RefusedTimeline = "timeline" // the timeline does not come from the backup, or is not known
	RefusedBefore   = "before"   // the target is before the oldest backup
	RefusedInside   = "inside"   // the target is inside of a backup
	RefusedWAL      = "wal"      // the backup's own WAL is missing
	RefusedPast     = "past"     // the target is past the newest WAL
	RefusedHole     = "hole"     // WAL is missing on the way
	RefusedTarget   = "target"   // the target was not found, or needs an archive
	RefusedBackup   = "backup"   // there is no such backup, or it cannot be restored
)

// RecoveryRefusal says why no backup serves, and what to do.
type RecoveryRefusal struct {
	Kind    string
	Problem string
	Remedy  string
}

func (r *RecoveryRefusal) Error() string { return r.Problem + ": " + r.Remedy }

func refusal(kind, remedy, problem string, args ...any) *RecoveryRefusal {
	return &RecoveryRefusal{kind, fmt.Sprintf(problem, args...), remedy}
}

// ChooseBackup finds the newest backup from which recovery reaches the point, and refuses
// with a *RecoveryRefusal where none does. A backup with damaged pages comes after all others.
func ChooseBackup(q RecoveryQuery) (*RecoveryChoice, error) {
	c, backups, err := newChooser(q)
	if err != nil {
		return nil, err
	}
	if err := c.checkPoint(); err != nil {
		return nil, err
	}
	for _, b := range backups {
		choice, err := c.try(&b)
		if err == nil {
			c.notices(&b, choice, backups)
			return choice, nil
		}
		if c.why == nil || weight(err.Kind) >= weight(c.why.Kind) {
			c.why = err
		}
	}
	return nil, c.why
}

func newChooser(q RecoveryQuery) (*chooser, []BackupFact, error) {
	c := &chooser{q: q, l: newLineage(q.Archive.Timelines), damaged: map[string]bool{}}
	backups, err := c.candidates()
	if err != nil {
		return nil, nil, err
	}
	return c, backups, c.resolveTimeline(backups)
}

func weight(kind string) int {
	return slices.Index([]string{RefusedTimeline, RefusedBefore, RefusedInside, RefusedWAL, RefusedPast, RefusedHole, RefusedTarget}, kind)
}

type chooser struct {
	q   RecoveryQuery
	l   lineage
	tli postgres.Timeline
	why *RecoveryRefusal

	damaged map[string]bool // labels of backups with damaged pages, their own or of a parent
}

// candidates gives the backups that can be restored, in the order of preference.
func (c *chooser) candidates() ([]BackupFact, error) {
	all := newRetainer(RetentionInput{Backups: c.q.Backups})
	var sound, damaged []BackupFact
	foreign := ""
	for i, b := range all.all {
		if c.q.Backup != "" && b.Label != c.q.Backup {
			continue
		}
		bad, dirty := all.state(i)
		switch id := c.q.Archive.SystemIdentifier; {
		case bad && c.q.Backup != "":
			why := b.Broken
			if why == "" {
				why = "a backup that it builds upon is missing or broken"
			}
			return nil, refusal(RefusedBackup, "choose another backup", "the backup %s cannot be restored (%s)", b.Label, why)
		case bad:
		case b.SystemIdentifier != id && id != "" && !own(&b):
			foreign = b.SystemIdentifier
		case dirty:
			damaged = append(damaged, b)
			c.damaged[b.Label] = true
		default:
			sound = append(sound, b)
		}
	}
	out := append(sound, damaged...)
	switch {
	case len(out) > 0:
		return out, nil
	case foreign != "":
		return nil, refusal(RefusedBackup, "name the cluster whose archive goes with it", "the backups are of the cluster with system identifier %s, and the archive is of %s", foreign, c.q.Archive.SystemIdentifier)
	case c.q.Backup != "":
		return nil, refusal(RefusedBackup, "pg_manage backups lists what there is", "there is no backup %s", c.q.Backup)
	case len(c.q.Backups) > 0:
		return nil, refusal(RefusedBackup, "pg_manage backups says what each of them lacks", "none of the %d backups can be restored", len(c.q.Backups))
	}
	return nil, refusal(RefusedBackup, "take one with pg_manage backup", "there is no backup")
}

// own says whether a backup needs no archive to become consistent.
func own(b *BackupFact) bool { return b.WAL == walIncluded || b.Cold }

// resolveTimeline finds out which timeline recovery follows.
func (c *chooser) resolveTimeline(backups []BackupFact) error {
	known := map[postgres.Timeline]bool{}
	for _, t := range c.q.Archive.Timelines {
		known[t.Timeline] = true
	}
	for i := range backups {
		known[backups[i].Timeline] = true
	}
	switch s := c.q.Timeline; s {
	case "current": // where no backup is named, the newest one's
		c.tli = backups[0].Timeline
		return nil
	case "", "latest":
		for t := range known {
			c.tli = max(c.tli, t)
		}
		return nil
	default:
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil || n == 0 {
			return refusal(RefusedTimeline, "write latest, current or a number from 1 up", "%q is no timeline", s)
		}
		c.tli = postgres.Timeline(n)
		if !known[c.tli] {
			var all []postgres.Timeline
			for t := range known {
				all = append(all, t)
			}
			slices.Sort(all)
			return refusal(RefusedTimeline, "choose one of those", "the archive knows no timeline %d, but %v", n, all)
		}
		return nil
	}
}

// checkPoint refuses points of which it is known already that none can be reached.
func (c *chooser) checkPoint() error {
	p := &c.q.Point
	if len(p.Found) > 0 {
		return nil
	}
	const remedy = "see that it is spelled right, belongs to this timeline and was archived, or name a time or an LSN"
	switch {
	case p.XID != "":
		return refusal(RefusedTarget, remedy, "the archive has no end of a transaction %s", p.XID)
	case p.Name != "":
		return refusal(RefusedTarget, remedy, "the archive has no restore point %q", p.Name)
	}
	return nil
}

// notices adds what a person should know of a choice.
func (c *chooser) notices(b *BackupFact, choice *RecoveryChoice, backups []BackupFact) {
	say := func(format string, args ...any) {
		choice.Notices = append(choice.Notices, fmt.Sprintf(format, args...))
	}
	if c.damaged[b.Label] {
		say("the backup %s, or one that it builds upon, has pages that were damaged on the node already", b.Label)
	}
	p := &c.q.Point
	if !p.Time.IsZero() {
		for i := range backups {
			o := &backups[i]
			if o.StopTime.After(b.StopTime) && !o.StopTime.After(p.Time) && !c.onPath(o, choice.Timeline) {
				say("the backup %s of timeline %d is newer, and timeline %d does not go through it: should you mean a moment of that timeline, write timeline = %q", o.Label, o.Timeline, choice.Timeline, fmt.Sprint(o.Timeline))
				break
			}
		}
		if len(p.Found) == 0 && c.end(choice.Timeline).Commit.IsZero() {
			say("it was not looked up whether the archive has WAL of the time after %s: without it PostgreSQL refuses to end recovery there", stamp(p.Time))
		}
	}
	if p.Name != "" && len(p.Found) > 1 {
		say("there are %d restore points %q: this is the one at %s, of %s", len(p.Found), p.Name, choice.EndLSN, stamp(choice.EndTime))
	}
}

// stamp writes a time for people.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.999999+00") }
