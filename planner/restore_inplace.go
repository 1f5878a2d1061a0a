package planner

import (
	"fmt"
	"slices"
	"strings"

	"pg_manage/schema"
)

// inPlace is a restore in place: all data of a cluster is replaced by that of a backup,
// recovered to some point. The old data is kept beside, except where a delta goes over it.
type inPlace struct {
	want   schema.Restore
	mark   string
	begun  bool            // the note of it is on the node
	aside  map[string]bool // nodes whose data is moved aside
	delta  bool            // the primary's data is overwritten
	origin *BackupFact
}

// interrupted tells of a restore in place that was not finished. Nothing else is planned
// for its cluster: what is there is neither what was nor what is to be.
func (b *builder) interrupted() bool {
	for _, n := range b.c.Nodes {
		i := b.node(n).Intent
		if i == nil {
			continue
		}
		if p := b.c.Primary(); p != nil && p != n {
			b.elsewhere(n, p)
			return true
		}
		what := "Its data is not restored yet."
		switch f := b.node(n); {
		case i.Done:
			what = "It is recovered; its standbys are still to be rebuilt."
		case f.Data.State == DataUnfinished:
			what = "The data directory of " + n.Name + " is half overwritten, and PostgreSQL cannot be started on it."
		case f.Data.Restored != "":
			what = "The data of " + n.Name + " is restored, and not recovered yet."
		}
		b.find(schema.SeverityError, n, fmt.Sprintf("%s Run the same `pg_manage restore %s` again: it goes on where it was left. Nothing else is planned for this cluster until then. To leave everything as it is, and plan without it, remove %s/%s on %s.",
			what, b.c.Name, b.node(n).Paths.State, RestoreIntentFile, n.Name),
			"a restore of cluster %s from base backup %s of %s, %s, was begun at %s and not finished", b.c.Name, i.Label, i.Target, i.To, i.Begun.UTC().Format("2006-01-02 15:04:05 MST"))
		return true
	}
	return false
}

// elsewhere tells of a restore in place that was begun on another node than the one that is
// declared primary now. The same restore would begin anew on that one, and end again with the
// note where it is: what was written to the cluster since would go with each of them.
func (b *builder) elsewhere(n, p *schema.Node) {
	i, f := b.node(n).Intent, b.node(n)
	b.find(schema.SeverityError, n, fmt.Sprintf("Nothing is planned for this cluster until that is settled. To finish it, declare %s primary again, run the same `pg_manage restore %s`, and swap the roles afterwards. "+
		"To leave everything as it is, or to begin a restore anew on %s, remove %s/%s on %s.",
		n.Name, b.c.Name, p.Name, f.Paths.State, RestoreIntentFile, n.Name),
		"a restore of cluster %s from base backup %s of %s, %s, was begun at %s on %s, which was declared primary then, and not finished; now %s is declared primary",
		b.c.Name, i.Label, i.Target, i.To, i.Begun.UTC().Format("2006-01-02 15:04:05 MST"), n.Name, p.Name)
}

// restoreInPlace settles from what a restore in place sets out, and says whether there is
// something to plan. Everything is checked before anything is stopped.
func (b *builder) restoreInPlace(req *RestoreRequest) bool {
	p := b.c.Primary()
	if p == nil {
		return false // refused by the schema
	}
	for _, n := range b.c.Nodes {
		if n != p && b.node(n).Intent != nil {
			b.elsewhere(n, p)
			return false
		}
	}
	b.primary = p
	b.inPlace = &inPlace{want: req.Want, mark: restoreMark(req.Want), aside: map[string]bool{}, delta: req.Delta}
	b.renewed = true
	var unseen []string
	for _, n := range b.c.Nodes {
		b.lookToRestore(n)
		if b.halted[n.Name] {
			unseen = append(unseen, n.Name)
		}
	}
	x := b.underway(p)
	if x == nil {
		if x = b.chosen(req); x == nil {
			return false
		}
	}
	b.inPlace.origin = x
	for _, n := range b.c.Nodes {
		if f := b.node(n); (f.holds() || f.Data.State == DataUnfinished) && f.Data.SystemIdentifier != x.SystemIdentifier {
			b.errorf(n, "Nothing was touched. A cluster is restored from its own backups alone; declare a new one with bootstrap { restore { ... } } for those of another.",
				"%s holds data of system identifier %s, and base backup %s is of %s", n.Name, f.Data.SystemIdentifier, x.Label, x.SystemIdentifier)
			return false
		}
	}
	if f := b.node(p); req.Delta && f.vacant() {
		b.errorf(p, "Nothing was touched. Leave out --delta: the backup is restored into a directory of its own.",
			"there is no data on %s to restore over: its data directory %s is %s", p.Name, f.Paths.DataDir, f.Data.State)
		return false
	}
	b.begin(p, unseen)
	b.setOut(p)
	return true
}

// restoresOver says that a delta is to go over what the node has.
func (b *builder) restoresOver(n *schema.Node) bool {
	return b.inPlace != nil && b.inPlace.delta && n == b.c.Primary()
}

// underway is the backup whose data is on the node already, of the same restore begun
// earlier; nil when there is none. It is not chosen anew: by now another may seem to serve.
func (b *builder) underway(p *schema.Node) *BackupFact {
	f := b.node(p)
	if !f.holds() || f.Intent == nil || f.Intent.Asked != b.inPlace.mark || f.Data.Restored != b.inPlace.mark && !f.Intent.Done {
		return nil
	}
	return &BackupFact{Label: f.Intent.Label, SystemIdentifier: f.Data.SystemIdentifier}
}

// chosen is the backup that a restore in place begins with; nil when none can be.
func (b *builder) chosen(req *RestoreRequest) *BackupFact {
	cat, later := b.catalog(req.Want.Target, req.Want.Cluster)
	if cat == nil {
		if later != "" {
			b.find(schema.SeverityError, nil, "Run `pg_manage apply` first: it installs what asks for them.", "the base backups of %s at %s are not known yet", req.Want.Cluster, req.Want.Target.Name)
		}
		return nil
	}
	x, choice, err := b.chooseFrom(cat, &req.Want)
	if err != nil {
		b.find(schema.SeverityError, nil, "Nothing was touched. `pg_manage backups` lists what there is.", "cluster %s cannot be restored %s: %v", b.c.Name, RecoveryText(req.Want), err)
		return nil
	}
	for _, text := range choice.Notices {
		b.find(schema.SeverityWarning, nil, "", "%s", text)
	}
	return x
}

// lookToRestore judges a node whose data is to be replaced.
func (b *builder) lookToRestore(n *schema.Node) {
	f := b.node(n)
	if f.Unreachable == "" && f.Data.State == DataCluster && f.Server.Running && !f.Server.Accepting {
		return // it is stopped, whatever ails it
	}
	b.look(n)
}

// begin writes down what is about to happen, first of all.
func (b *builder) begin(p *schema.Node, unseen []string) {
	f, in := b.node(p), b.inPlace
	if in.begun = f.Intent != nil && f.Intent.Asked == in.mark; in.begun && len(unseen) == 0 {
		return
	}
	d := IntentDetail{Intent: RestoreIntent{
		Target: in.want.Target.Name, Label: in.origin.Label, To: RecoveryText(in.want), Asked: in.mark, Begun: b.opts.Now,
	}}
	s := Step{
		Action: ActionCreate, Summary: "note that a restore begins, in " + f.Paths.State + "/" + RestoreIntentFile, Reason: "if it is cut off, what is left is not taken for anything else",
		Pre:  []Condition{{Node: p.Name, Fact: FactReachable, Want: "true"}},
		Post: []Condition{{Node: p.Name, Fact: FactIntent, Want: in.mark}},
	}
	if len(unseen) > 0 {
		s.Blocked = fmt.Sprintf("nothing can be planned for %s: a restore in place needs all nodes of the cluster", strings.Join(unseen, ", "))
	}
	b.add(p, d, s)
}

// setOut plans the stops, and goes on as if what is to be replaced were gone already.
func (b *builder) setOut(p *schema.Node) {
	in, f := b.inPlace, b.node(p)
	recovered := in.begun && f.Intent.Done && f.Data.Restored == ""
	restored := f.Data.Restored == in.mark
	for _, n := range b.c.Nodes {
		g := b.node(n)
		follows := recovered && g.holds() && g.Data.SystemIdentifier == f.Data.SystemIdentifier && g.timeline() >= f.timeline() && g.standbyData()
		if n == p || b.halted[n.Name] || follows {
			continue
		}
		b.stop(n)
		b.clear(n)
	}
	switch {
	case b.halted[p.Name] || recovered:
	case restored:
		b.pretend(p, midway(f))
	default:
		b.stop(p)
		b.clear(p)
	}
}

func (b *builder) stop(n *schema.Node) {
	f := b.node(n)
	if !f.Server.Running {
		return
	}
	s := Step{
		Action: ActionUpdate, Summary: "stop PostgreSQL", Reason: "its data is to be replaced", Effect: EffectRestart,
		Commands: []string{serviceCommand(b.instance(n), "stop")},
		Pre:      []Condition{{Node: n.Name, Fact: FactSystemID, Want: f.Data.SystemIdentifier}},
		Post:     []Condition{{Node: n.Name, Fact: FactRunning, Want: "false"}},
		Needs:    []string{b.id(b.primary, KindBeginRestore)}, Undo: "start it again: nothing is replaced yet",
	}
	if n == b.primary { // last, so that standbys have what it had
		for _, o := range b.c.Nodes {
			if o != n {
				s.Needs = append(s.Needs, b.id(o, KindStop))
			}
		}
	}
	b.add(n, StopDetail{}, s)
}

// clear goes on as if the node were stopped and its data moved aside, or about to be overwritten.
func (b *builder) clear(n *schema.Node) {
	f := *b.node(n)
	b.inPlace.aside[n.Name] = f.holds() && !b.restoresOver(n)
	f.Server = ServerFacts{}
	f.Data = DataFacts{State: DataAbsent, MountPoint: f.Data.MountPoint}
	if n == b.primary {
		f.Data.SystemIdentifier = b.inPlace.origin.SystemIdentifier
	}
	b.pretend(n, &f)
}

// asideToRestore makes a restore step one that replaces what is there.
func (b *builder) asideToRestore(n *schema.Node, s *Step, d *RestoreDetail) {
	s.Reason = "the cluster is to be as it was " + RecoveryText(b.inPlace.want)
	s.Needs = append(s.Needs, b.id(n, KindBeginRestore))
	for _, o := range b.c.Nodes {
		s.Needs = append(s.Needs, b.id(o, KindStop))
		s.Pre = append(s.Pre, Condition{Node: o.Name, Fact: FactRunning, Want: "false"})
	}
	s.Pre = append(s.Pre, Condition{Node: n.Name, Fact: FactIntent, Want: d.Mark})
	if d.Delta = b.restoresOver(n); d.Delta {
		b.overwriteOld(n, s)
		return
	}
	b.keepOld(n, s, b.inPlace.aside[n.Name], "restore")
	d.MoveAside = b.inPlace.aside[n.Name]
	if d.MoveAside {
		s.Summary += ", moving the old data aside"
	}
}

// besideOld gives tablespaces directories of their own where the old ones stay with the old data.
func (b *builder) besideOld(n *schema.Node, x *BackupFact) map[string]string {
	if b.inPlace == nil || !b.inPlace.aside[n.Name] || len(x.Tablespaces) == 0 {
		return nil
	}
	out := map[string]string{}
	for oid, dir := range x.Tablespaces {
		out[oid] = strings.TrimRight(dir, "/") + ".restored-" + b.opts.Now.UTC().Format("20060102T150405Z")
	}
	return out
}

// keepOld marks a step that puts new data where other data is.
func (b *builder) keepOld(n *schema.Node, s *Step, moves bool, what string) {
	f := b.observed(n)
	if !moves {
		s.Pre = append(s.Pre, Condition{Node: n.Name, Fact: FactDataState, Want: string(DataAbsent), Or: []string{string(DataEmpty)}})
		return
	}
	s.Action, s.Effect = ActionReplace, EffectDataLoss
	s.Undo = "the old data directory is kept beside the new one, as " + f.Paths.DataDir + ".old-TIME"
	s.Pre = append(s.Pre,
		Condition{Node: n.Name, Fact: FactDataState, Want: string(DataCluster)},
		Condition{Node: n.Name, Fact: FactSystemID, Want: f.Data.SystemIdentifier})
	if f.Data.MountPoint {
		s.Blocked = "the data directory is a mount point and cannot be moved aside: move its content away by hand, to " + what
	}
}

// overwriteOld marks a restore step that goes over the data that is there.
func (b *builder) overwriteOld(n *schema.Node, s *Step) {
	f := b.observed(n)
	s.Summary += ", over the old data, which is overwritten and not kept"
	s.Action, s.Effect = ActionReplace, EffectDataLoss
	s.Undo = "none: the old data is gone, but for WAL that may not be archived, which is kept in a directory " + f.Paths.DataDir + ".old-wal-TIME. PostgreSQL cannot be started on a directory that is half overwritten; the same restore goes on there"
	s.Pre = append(s.Pre,
		Condition{Node: n.Name, Fact: FactDataState, Want: string(DataCluster), Or: []string{string(DataUnfinished)}},
		Condition{Node: n.Name, Fact: FactSystemID, Want: f.Data.SystemIdentifier})
}

// endRestore takes the note of a restore away when all of it is done.
func (b *builder) endRestore() {
	if b.inPlace == nil {
		return
	}
	p := b.primary
	s := Step{
		Action: ActionRemove, Summary: "note that the restore is over", Reason: "all nodes are restored or built from the restored one",
		Pre:  []Condition{{Node: p.Name, Fact: FactRole, Want: "primary"}, {Node: p.Name, Fact: FactRestored, Want: "no"}},
		Post: []Condition{{Node: p.Name, Fact: FactIntent, Want: "none"}},
	}
	for _, x := range b.steps {
		if slices.Contains([]Kind{KindStart, KindRecover, KindRestart, KindReload, KindBeginRestore, KindRole}, x.Kind) {
			s.Needs = append(s.Needs, x.ID)
		}
	}
	b.add(p, IntentDetail{End: true}, s)
}
