package planner

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

// stored is a backup in the world: what is known of it, and what is in it.
type stored struct {
	BackupFact
	auto, roles map[string]string
	hba         string
}

func (p BackupPlace) at() string { return p.Target.place(p.Cluster) + "/" + p.BackupDir }

// catalogs lets the node answer that would be asked.
func (w *world) catalogs(c *schema.Cluster, facts *ClusterFacts) {
	var asked *NodeFacts
	for _, n := range c.Nodes {
		f := facts.Nodes[n.Name]
		if f.Unreachable == "" && f.Host.Installed["pg_manage"] != "" && (asked == nil || f.runsPrimary() && !asked.runsPrimary()) {
			asked = f
		}
	}
	if asked == nil {
		return
	}
	for _, p := range CatalogPlaces(c, facts, w.restore) {
		asked.Catalogs = append(asked.Catalogs, w.catalog(NewBackupPlace(p.Target, p.Cluster)))
	}
	if c.Bootstrap != nil && c.Bootstrap.Restore != nil {
		w.locate(facts, c.Bootstrap.Restore)
	}
	if w.restore != nil {
		w.locate(facts, &w.restore.Want)
	}
}

// locate looks into the archive for the point that a restore leads to, which soon follows
// the first backup.
func (w *world) locate(facts *ClusterFacts, want *schema.Restore) {
	cat := facts.Catalog(want.Target.Name, want.Cluster)
	if cat == nil || !cat.Known || len(cat.Backups) == 0 || w.unlooked {
		return
	}
	cat.Archives, cat.Found = []ArchiveWAL{wholeArchive(cat)}, nil
	if want.RecoveryTarget.Time != "" {
		cat.Found = []WALPosition{{LSN: cat.Backups[0].StopLSN + 0x1000}}
	}
}

func (w *world) catalog(p BackupPlace) CatalogFact {
	f := CatalogFact{Target: p.Target.Name, Cluster: p.Cluster, Known: true}
	if w.down[p.Target.place(p.Cluster)] {
		f.Known, f.Error = false, "connection refused"
		return f
	}
	for _, x := range w.backups[p.at()] {
		f.Backups = append(f.Backups, x.BackupFact)
	}
	return f
}

// backUp are the steps that have to do with base backups.
func (w *world) backUp(c *schema.Cluster, m *machine, s *Step) error {
	if m.installed["pg_manage"] == "" && s.Kind != KindBeginRestore && s.Kind != KindEndRestore {
		return errors.New("pg_manage is not installed")
	}
	switch d := s.Detail.(type) {
	case BackupDetail:
		return w.take(m, s, d)
	case ExpireDetail:
		return w.remove(d)
	case ProveDetail:
		cat := w.catalog(d.Place)
		x := cat.newest(m.inst.id, nil)
		if d.Label != "" {
			x = cat.Backup(d.Label)
		}
		if x == nil || x.Broken != "" {
			return errors.New("there is nothing to prove")
		}
		for i := range w.backups[d.Place.at()] {
			if y := &w.backups[d.Place.at()][i]; y.Label == x.Label {
				w.clock = w.clock.Add(time.Second)
				y.Proven = w.clock
			}
		}
	case RestoreDetail:
		return w.restoreData(m, s, d)
	case RecoverDetail:
		i := m.inst
		if i == nil || i.restored == "" {
			return errors.New("nothing is to be recovered")
		}
		m.load(true)
		i.running, i.primary, i.recovery, i.restored, i.timeline = true, true, false, "", w.newestTimeline(i.id)+1
		if d.Intent {
			done := *m.intent
			done.Done = true
			m.intent = &done
		}
	case IntentDetail:
		if m.intent = &d.Intent; d.End {
			m.intent = nil
		}
	}
	return nil
}

// newestTimeline is the highest that the cluster ever had, as its archive would tell.
func (w *world) newestTimeline(id string) (out postgres.Timeline) {
	for _, m := range w.machines {
		for _, i := range append([]*instance{m.inst}, m.aside...) {
			if i != nil && i.id == id {
				out = max(out, i.timeline)
			}
		}
	}
	return out
}

func (w *world) take(m *machine, s *Step, d BackupDetail) error {
	at, i := d.Place.at(), m.inst
	switch {
	case w.down[d.Place.Target.place(d.Place.Cluster)]:
		return errTarget
	case i == nil || !i.running || i.mute != "" || i.primary == d.Standby:
		return errors.New("the server cannot be backed up")
	case d.SystemIdentifier != "" && d.SystemIdentifier != i.id:
		return errors.New("another system identifier")
	}
	cat := w.catalog(d.Place)
	w.clock = w.clock.Add(time.Minute)
	x := stored{hba: m.hba, auto: maps.Clone(i.auto), roles: maps.Clone(i.roles), BackupFact: BackupFact{
		Kind: "full", Node: s.Node, FromStandby: d.Standby, SystemIdentifier: i.id, PostgreSQL: fmt.Sprint(i.major) + ".2", Timeline: i.timeline,
		StartLSN: i.lsn, StopLSN: i.lsn + 0x100, StartTime: w.clock, StopTime: w.clock, SegmentSize: 16 << 20, WAL: "archive",
	}}
	suffix := "full"
	if base := cat.newest(i.id, func(y *BackupFact) bool { return y.Timeline == i.timeline }); !d.Full && base != nil {
		x.Kind, x.Parent, suffix = "incremental", base.Label, "incr"
	}
	x.Label = w.clock.Format("20060102T150405Z") + "-" + s.Node + "-" + suffix
	w.backups[at] = append(w.backups[at], x)
	return nil
}

// remove refuses what the node's side refuses.
func (w *world) remove(d ExpireDetail) error {
	list := w.backups[d.Place.at()]
	if w.down[d.Place.Target.place(d.Place.Cluster)] {
		return errTarget
	}
	for _, label := range d.Labels {
		if slices.ContainsFunc(list, func(x stored) bool { return x.Parent == label }) {
			return fmt.Errorf("another backup builds upon %s", label)
		}
		whole := slices.DeleteFunc(slices.Clone(list), func(x stored) bool { return x.Broken != "" })
		if len(whole) > 0 && whole[len(whole)-1].Label == label {
			return fmt.Errorf("%s is the newest whole backup", label)
		}
		list = slices.DeleteFunc(slices.Clone(list), func(x stored) bool { return x.Label == label })
	}
	w.backups[d.Place.at()] = list
	return nil
}

func (w *world) find(p BackupPlace, label string) *stored {
	for i := range w.backups[p.at()] {
		if x := &w.backups[p.at()][i]; x.Label == label && x.Broken == "" {
			return x
		}
	}
	return nil
}

func (x *stored) instance(s *Step) *instance {
	return &instance{
		dir: s.Instance.DataDir, id: x.SystemIdentifier, major: s.Instance.Major, timeline: x.Timeline, lsn: x.StopLSN,
		auto: maps.Clone(x.auto), roles: maps.Clone(x.roles), slots: map[string]Slot{},
	}
}

// wholeArchive has all WAL of the timelines that backups are of.
func wholeArchive(cat *CatalogFact) ArchiveWAL {
	a := ArchiveWAL{SegmentSize: 16 << 20}
	last := postgres.Timeline(0)
	for i := range cat.Backups {
		x := &cat.Backups[i]
		a.Target, a.SystemIdentifier, last = cat.Target, x.SystemIdentifier, max(last, x.Timeline)
	}
	for tli := postgres.Timeline(1); tli <= last; tli++ {
		a.Timelines = append(a.Timelines, WALTimeline{Timeline: tli})
		a.Runs = append(a.Runs, WALRun{Timeline: tli, To: 1 << 60})
	}
	return a
}

func (w *world) restoreData(m *machine, s *Step, d RestoreDetail) error {
	if d.Source.Label == "" {
		cat := w.catalog(d.Source.Place)
		cat.Archives = []ArchiveWAL{wholeArchive(&cat)}
		if _, err := SettleRestore(&cat, &d, s.Instance.Major); err != nil {
			return err
		}
	}
	x := w.find(d.Source.Place, d.Source.Label)
	if x == nil || x.SystemIdentifier != d.SystemIdentifier {
		return errors.New("there is no such backup")
	}
	if d.Delta {
		return w.restoreOver(m, s, d, x)
	}
	if m.leave(s); m.inst != nil && (!d.MoveAside || m.inst.running) || m.foreign || m.unreadable || m.unfinished != "" {
		return errors.New("there is data in the way")
	}
	if d.MoveAside != (s.Effect == EffectDataLoss) {
		return errors.New("data is moved without being called data-loss")
	}
	i := x.instance(s)
	i.recovery, i.restored = true, d.Mark
	w.replace(m, i, x, d.Settings)
	return nil
}

// restoreOver keeps nothing of the data that is there.
func (w *world) restoreOver(m *machine, s *Step, d RestoreDetail, x *stored) error {
	old := m.unfinished
	if m.inst != nil && m.inst.dir == s.Instance.DataDir && !m.inst.running {
		old = m.inst.id
	}
	switch {
	case old != x.SystemIdentifier:
		return errors.New("there is no stopped cluster of that system identifier to restore over")
	case s.Effect != EffectDataLoss || d.MoveAside:
		return errors.New("data is overwritten without being called data-loss")
	}
	i := x.instance(s)
	i.recovery, i.restored = true, d.Mark
	m.inst, m.unfinished = nil, ""
	w.replace(m, i, x, d.Settings)
	return nil
}

// cutOff leaves a restore over the data of a machine in its middle.
func (m *machine) cutOff() {
	m.unfinished, m.inst = m.inst.id, nil
}

func (w *world) replace(m *machine, i *instance, x *stored, set SettingsDetail) {
	if m.inst != nil {
		m.aside = append(m.aside, m.inst)
	}
	m.inst, m.empty = i, false
	if !m.debian {
		m.hba = x.hba
	}
	for name := range set.Values {
		delete(i.auto, name)
	}
	m.conf, m.included = set.Content, true
}

// seed makes a standby from a backup.
func (w *world) seed(c *schema.Cluster, m *machine, s *Step, d BuildDetail) error {
	x, primary := w.find(d.Backup.Place, d.Backup.Label), w.on(c, d.Source).inst
	switch m.leave(s); {
	case x == nil || x.SystemIdentifier != primary.id || x.Timeline != primary.timeline:
		return errors.New("that backup does not lead to what the primary is")
	case m.inst != nil && (!d.MoveAside || m.inst.running) || m.foreign || m.unreadable:
		return errors.New("there is data in the way")
	case d.MoveAside != (s.Effect == EffectDataLoss):
		return errors.New("data is moved without being called data-loss")
	}
	i := x.instance(s)
	i.signal, i.roles = true, maps.Clone(primary.roles) // which it replays
	w.replace(m, i, x, d.Settings)
	return nil
}

// drawRules declares up to two rules for backups.
func drawRules(t *rapid.T, c *schema.Cluster) {
	c.Backups = nil
	list := []*schema.Target{sshTarget("vault")}
	for _, a := range c.Archives {
		list = append(list, a.Target)
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "rules") {
		r := &schema.Backup{
			Name: fmt.Sprintf("rule%d", i), Target: rapid.SampledFrom(list).Draw(t, "backup target"),
			MaxAge:     rapid.SampledFrom([]time.Duration{0, 24 * time.Hour}).Draw(t, "max_age"),
			FullEvery:  rapid.SampledFrom([]time.Duration{0, 7 * 24 * time.Hour}).Draw(t, "full_every"),
			From:       rapid.SampledFrom([]string{"primary", "prefer-standby"}).Draw(t, "from"),
			ProveEvery: rapid.SampledFrom([]time.Duration{0, 7 * 24 * time.Hour}).Draw(t, "prove_every"),
			Keep:       rapid.SampledFrom([]schema.Keep{{}, {Full: 1}, {Full: 2, Age: 48 * time.Hour}}).Draw(t, "keep"),
		}
		c.Backups = append(c.Backups, r)
	}
}
