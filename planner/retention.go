package planner

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

// WALTimeline is where a timeline comes from, as its history file tells.
type WALTimeline struct {
	Timeline postgres.Timeline `json:"timeline"`
	Parent   postgres.Timeline `json:"parent,omitempty"` // 0: none, or its history is not known
	Fork     postgres.LSN      `json:"fork,omitempty"`   // where it left its parent
}

// RetentionInput is what retention is decided by.
type RetentionInput struct {
	Backups   []BackupFact
	Rules     []schema.Keep // of every backup block that uses the target; empty ones say nothing
	Now       time.Time
	Timelines []WALTimeline // as far as they are known
}

// Retention is which backups stay.
type Retention struct {
	Kept    []KeptBackup `json:"kept"`   // newest first
	Expired []string     `json:"expire"` // labels in the order of removal: what depends on a backup goes before it
}

// KeptBackup is a backup that stays, and every reason for it.
type KeptBackup struct {
	Label   string   `json:"label"`
	Reasons []string `json:"reasons"`
}

// Retain decides which backups of a target stay and which expire. The rules:
//
//   - A backup is kept while any rule keeps it, or a pin. Without rules all are kept.
//   - Backups of one system identifier and major version form a group; rules apply to each
//     group by itself, so that an upgrade takes nothing from the backups before it.
//   - A backup is whole when nothing of it and of its parents is missing, and no page was
//     damaged on the node already. Where all that can be restored have damaged pages, these are the whole ones.
//   - Of two backups the one that was begun later is newer, also where they overlap.
//   - full keeps the newest whole full backups of a group, and all that builds upon them.
//   - age keeps what ended later than that.
//   - window keeps what began or ended in it, and of each timeline that is still of use in
//     it the newest whole backup before, from which the window's first moments are reached.
//   - The newest whole backup of each group is kept whatever the rules say.
//   - A backup that is not whole counts for no rule. It goes once it is older than all whole
//     backups of its group that rules keep: until then something newer may still be learned
//     from it, and its parent may come back.
//   - The parents of what is kept are kept.
//
// A backup whose label comes twice or that has no label must not be in the input.
func Retain(in RetentionInput) Retention {
	r := newRetainer(in)
	if len(r.rules) == 0 {
		for i := range r.all {
			r.keep(i, "no rule says what may go")
		}
	}
	for _, g := range r.groups {
		r.group(g)
	}
	for i := range r.all {
		if r.all[i].Pinned {
			r.keep(i, "pinned")
		}
	}
	r.parents()
	return r.result()
}

type retainer struct {
	in      RetentionInput
	rules   []schema.Keep
	all     []BackupFact   // newest first
	at      map[string]int // by label
	whole   []bool
	groups  [][]int // each newest first
	reasons [][]string
}

func newRetainer(in RetentionInput) *retainer {
	r := &retainer{in: in, all: slices.Clone(in.Backups), at: map[string]int{}}
	for _, k := range in.Rules {
		if k != (schema.Keep{}) {
			r.rules = append(r.rules, k)
		}
	}
	slices.SortStableFunc(r.all, newerFirst)
	for i := range r.all {
		r.at[r.all[i].Label] = i
	}
	r.reasons, r.whole = make([][]string, len(r.all)), make([]bool, len(r.all))
	of := map[[2]string]int{}
	for i := range r.all {
		b := &r.all[i]
		key := [2]string{b.SystemIdentifier, fmt.Sprint(b.Major())}
		g, ok := of[key]
		if !ok {
			g = len(r.groups)
			of[key] = g
			r.groups = append(r.groups, nil)
		}
		r.groups[g] = append(r.groups[g], i)
	}
	for _, g := range r.groups {
		r.judge(g)
	}
	return r
}

// newerFirst orders backups by their beginning: recovery goes on from there, and of what
// overlaps the one that was begun last has the least to replay. It is the one order in which
// backups are newer and older.
func newerFirst(a, b BackupFact) int {
	return cmp.Or(b.StartTime.Compare(a.StartTime), cmp.Compare(b.Label, a.Label))
}

// judge finds the whole backups of a group.
func (r *retainer) judge(group []int) {
	sound := false
	for _, i := range group {
		broken, damaged := r.state(i)
		r.whole[i] = !broken && !damaged
		sound = sound || r.whole[i]
	}
	if sound {
		return
	}
	for _, i := range group {
		broken, _ := r.state(i)
		r.whole[i] = !broken
	}
}

// state looks at a backup and its parents.
func (r *retainer) state(i int) (broken, damaged bool) {
	for steps := 0; ; steps++ {
		b := &r.all[i]
		damaged = damaged || b.Damaged > 0
		if b.Broken != "" || steps > len(r.all) {
			return true, damaged
		}
		if b.Parent == "" {
			return false, damaged
		}
		parent, ok := r.at[b.Parent]
		if !ok {
			return true, damaged
		}
		i = parent
	}
}

func (r *retainer) keep(i int, reason string) {
	if !slices.Contains(r.reasons[i], reason) {
		r.reasons[i] = append(r.reasons[i], reason)
	}
}

// group applies the rules to one group.
func (r *retainer) group(group []int) {
	for _, rule := range r.rules {
		if rule.Full > 0 {
			r.full(group, rule.Full)
		}
		if rule.Age > 0 {
			for _, i := range group {
				if r.in.Now.Sub(r.all[i].StopTime) < rule.Age {
					r.keep(i, "younger than "+span(rule.Age))
				}
			}
		}
		if rule.Window > 0 {
			r.window(group, rule.Window)
		}
	}
	newest := slices.IndexFunc(group, func(i int) bool { return r.whole[i] })
	if newest >= 0 {
		r.keep(group[newest], "newest whole backup")
	}
	r.faulty(group)
}

func (r *retainer) full(group []int, n int) {
	var roots []int
	for _, i := range group {
		if len(roots) < n && r.whole[i] && r.all[i].Parent == "" {
			roots = append(roots, i)
			r.keep(i, fmt.Sprintf("newest %d full", n))
		}
	}
	for _, i := range group {
		if root := r.root(i); root != i && slices.Contains(roots, root) {
			r.keep(i, fmt.Sprintf("builds upon %s, of the newest %d full", r.all[root].Label, n))
		}
	}
}

// root is the full backup that one builds upon, -1 when it is not there.
func (r *retainer) root(i int) int {
	for range len(r.all) + 1 {
		if r.all[i].Parent == "" {
			return i
		}
		parent, ok := r.at[r.all[i].Parent]
		if !ok {
			return -1
		}
		i = parent
	}
	return -1
}

// window keeps what reaching every moment since its start takes.
func (r *retainer) window(group []int, window time.Duration) {
	start := r.in.Now.Add(-window)
	reason := "recovery window " + span(window)
	within := map[postgres.Timeline]bool{} // those on which something may have happened since
	newest := postgres.Timeline(0)
	for _, i := range group {
		b := &r.all[i]
		if r.leads(i) {
			newest = max(newest, b.Timeline)
		}
		if !b.StopTime.Before(start) {
			r.keep(i, reason)
			within[b.Timeline] = true
		}
	}
	for _, t := range r.in.Timelines {
		newest = max(newest, t.Timeline)
	}
	within[newest] = true
	for tli := range within {
		base := -1 // of several timelines' the highest's is the latest in this history
		for _, i := range group {
			b := &r.all[i]
			if b.StopTime.Before(start) && r.leads(i) && r.serves(b, tli, start, group) && (base < 0 || b.Timeline > r.all[base].Timeline) {
				base = i
			}
		}
		if base >= 0 {
			r.keep(base, reason)
		}
	}
}

// leads says whether recovery can go on from a backup, with archived WAL.
func (r *retainer) leads(i int) bool { return r.whole[i] && r.all[i].WAL != walIncluded }

// serves says whether recovery can go from a backup along a timeline. Where its history is
// not known the first backup on the timeline shows how late it can have begun.
func (r *retainer) serves(b *BackupFact, tli postgres.Timeline, start time.Time, group []int) bool {
	if b.Timeline == tli {
		return true
	}
	if b.Timeline > tli {
		return false
	}
	l := newLineage(r.in.Timelines)
	if l.known(tli) {
		end, ok := l.left(b.Timeline, tli)
		return ok && b.StopLSN <= end
	}
	for _, i := range group {
		if o := &r.all[i]; o.Timeline == tli && b.StopLSN > o.StartLSN && (r.leads(i) || !o.StopTime.Before(start)) {
			return false
		}
	}
	return true
}

// faulty keeps what is not whole while it is newer than some whole backup that the rules keep.
func (r *retainer) faulty(group []int) {
	oldest := -1
	for _, i := range group {
		if r.whole[i] && len(r.reasons[i]) > 0 {
			oldest = i
		}
	}
	for _, i := range group {
		switch {
		case r.whole[i]:
		case oldest < 0:
			r.keep(i, "there is no whole backup")
		case i < oldest:
			r.keep(i, "not whole, and newer than "+r.all[oldest].Label)
		}
	}
}

// parents keeps what kept backups build upon.
func (r *retainer) parents() {
	for i := range r.all {
		if len(r.reasons[i]) == 0 {
			continue
		}
		for at := i; ; {
			parent, ok := r.at[r.all[at].Parent]
			if !ok {
				break
			}
			reason := "parent of " + r.all[at].Label
			if slices.Contains(r.reasons[parent], reason) {
				break // and so all above it are
			}
			r.keep(parent, reason)
			at = parent
		}
	}
}

func (r *retainer) result() Retention {
	out := Retention{Kept: []KeptBackup{}, Expired: []string{}}
	var gone []int
	for i := range r.all {
		if len(r.reasons[i]) == 0 {
			gone = append(gone, i)
			continue
		}
		out.Kept = append(out.Kept, KeptBackup{r.all[i].Label, r.reasons[i]})
	}
	// A child may end before its parent by a clock that is wrong, so depth counts first.
	slices.SortStableFunc(gone, func(a, b int) int { return cmp.Or(r.depth(b)-r.depth(a), b-a) })
	for _, i := range gone {
		out.Expired = append(out.Expired, r.all[i].Label)
	}
	return out
}

func (r *retainer) depth(i int) int {
	for n := range len(r.all) + 1 {
		parent, ok := r.at[r.all[i].Parent]
		if !ok {
			return n
		}
		i = parent
	}
	return 0
}

// span writes a length of time as declarations have it.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}
