package planner

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

var errTarget = errors.New("the target refuses")

// fatalist is what testing.TB and rapid.T share.
type fatalist interface {
	Helper()
	Fatalf(format string, args ...any)
}

var _ fatalist = testing.TB(nil)

// check holds conditions against the facts of this moment.
func (w *world) check(c *schema.Cluster, conditions []Condition) error {
	facts := w.observe(c).Clusters[c.Name]
	for _, cond := range conditions {
		f := facts.Nodes[cond.Node]
		if slices.Contains([]Fact{FactBackup, FactListed, FactProven}, cond.Fact) && f.Unreachable == "" { // which a step asks of its own node
			g := *f
			g.Catalogs = nil
			for _, p := range CatalogPlaces(c, facts, w.restore) {
				g.Catalogs = append(g.Catalogs, w.catalog(NewBackupPlace(p.Target, p.Cluster)))
			}
			f = &g
		}
		if err := cond.Check(f); err != nil {
			return err
		}
	}
	return nil
}

// simulate does one step as apply would: preconditions, effect, postconditions.
func (w *world) simulate(c *schema.Cluster, s *Step) error {
	if err := w.check(c, s.Pre); err != nil {
		return fmt.Errorf("before %s: %w", s.ID, err)
	}
	if err := w.act(c, s); err != nil {
		return fmt.Errorf("%s: %w", s.ID, err)
	}
	w.flow()
	if err := w.check(c, s.Post); err != nil {
		return fmt.Errorf("after %s: %w", s.ID, err)
	}
	return nil
}

// apply does the steps that are not blocked, at most limit of them. What needs a
// step that the target refused is left out. It says how many steps failed so.
func (w *world) apply(t fatalist, c *schema.Cluster, p *Plan, limit int) (refused int) {
	t.Helper()
	gone := map[string]bool{}
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Blocked != "" || slices.ContainsFunc(s.Needs, func(id string) bool { return gone[id] }) {
			gone[s.ID] = true
			continue
		}
		if limit--; limit < 0 {
			return refused
		}
		if err := w.simulate(c, s); errors.Is(err, errTarget) {
			gone[s.ID] = true
			refused++
		} else if err != nil {
			t.Fatalf("%v\nplan: %v", err, steps(p))
		}
	}
	return refused
}

// converge plans and applies once; the next plan has to be empty.
func (w *world) converge(t fatalist, c *schema.Cluster) {
	t.Helper()
	w.addMachines(c)
	first := w.plan(c)
	w.apply(t, c, first, len(first.Steps))
	if p := w.plan(c); !p.Empty() {
		t.Fatalf("not empty after %v:\n%v\n%+v", steps(first), steps(p), p.Findings)
	}
}

func (w *world) act(c *schema.Cluster, s *Step) error {
	m := w.on(c, s.Node)
	if m.unreachable != "" {
		return errors.New("cannot be reached")
	}
	switch d := s.Detail.(type) {
	case InstallDetail:
		maps.Copy(m.installed, d.Files)
	case HookConfigDetail:
		m.hooks[s.Instance.State] = d.Config.Encode()
	case PassfileDetail:
		m.passfiles[s.Instance.State] = d.User + ":" + c.Replication.Password.Reveal()
	case InitDetail:
		if m.leave(s); m.inst != nil || m.foreign || m.unreadable {
			return errors.New("initdb refuses: the directory is not empty")
		}
		m.conf, m.hba, m.included, m.empty = "", "", false, false
		m.inst = &instance{dir: s.Instance.DataDir, id: w.newID(), major: s.Instance.Major, timeline: 1, lsn: w.now, auto: map[string]string{}, roles: map[string]string{}, slots: map[string]Slot{}}
	case BuildDetail:
		return w.build(c, m, s, d)
	case SettingsDetail:
		m.conf, m.included = d.Content, true
		for _, name := range d.ResetAuto {
			delete(m.inst.auto, name)
		}
	case HBADetail:
		m.hba = d.Block
	case CreateArchiveDetail:
		have, _ := DecodeHookConfig(m.hooks[s.Instance.State])
		t := have.Target(d.Target)
		if t == nil {
			return fmt.Errorf("hook.json has no target %s", d.Target)
		}
		place := t.place(have.Cluster)
		if w.down[place] && !d.Required {
			return nil
		}
		if id := w.archives[place]; w.down[place] || id != "" && id != m.inst.id {
			return errTarget
		}
		w.archives[place] = m.inst.id
	case CheckArchiveDetail:
		if m.inst.live["archive_mode"] != "on" || m.hooks[s.Instance.State] == "" {
			return errors.New("the segment does not arrive")
		}
		have, _ := DecodeHookConfig(m.hooks[s.Instance.State])
		for _, t := range have.Targets {
			place := t.place(have.Cluster)
			if t.Required && w.down[place] {
				return errTarget
			}
			if t.Required && w.archives[place] != m.inst.id {
				return fmt.Errorf("the segment does not arrive at %s", t.Name)
			}
		}
	case BackupDetail, ExpireDetail, ProveDetail, RestoreDetail, RecoverDetail, IntentDetail:
		return w.backUp(c, m, s)
	default:
		return w.serve(c, m, s)
	}
	return nil
}

// serve are the steps that speak to the server.
func (w *world) serve(c *schema.Cluster, m *machine, s *Step) error {
	i := m.inst
	if i == nil || s.Kind != KindStart && s.Kind != KindStop && (!i.running || i.mute != "") {
		return errors.New("no server answers")
	}
	switch d := s.Detail.(type) {
	case StopDetail:
		i.stop()
	case StartDetail:
		if i.running {
			return errors.New("it runs already")
		}
		m.load(true)
		i.running, i.primary = true, !i.signal
		if i.recovery && !i.signal { // point-in-time recovery ends with a promotion
			i.primary, i.timeline = true, i.timeline+1
		}
	case RestartDetail:
		m.load(true)
	case ReloadDetail:
		m.load(false)
	case RoleDetail:
		if !i.primary {
			return errors.New("read-only")
		}
		w.roles(i, func(r map[string]string) { r[d.Name] = c.Replication.Password.Reveal() })
	case SlotDetail:
		if d.Drop {
			for _, o := range w.machines {
				if o.inst != nil && o.inst.live["primary_slot_name"] == d.Name && o.inst.running {
					if host, _, ok := w.source(o.inst); ok && w.at(host) == i {
						return errors.New("the slot is in use")
					}
				}
			}
			delete(i.slots, d.Name)
		} else {
			i.slots[d.Name] = Slot{Name: d.Name, Type: "physical"}
		}
	default:
		return fmt.Errorf("nobody knows how to do %T", d)
	}
	return nil
}

func (w *world) build(c *schema.Cluster, m *machine, s *Step, d BuildDetail) error {
	src := w.on(c, d.Source).inst
	if d.Backup != nil {
		return w.seed(c, m, s, d)
	}
	if m.leave(s); m.inst != nil && (!d.MoveAside || m.inst.running) || m.foreign || m.unreadable {
		return errors.New("there is data in the way")
	}
	if d.MoveAside != (s.Effect == EffectDataLoss) {
		return errors.New("data is moved without being called data-loss")
	}
	if d.SystemIdentifier != "" && d.SystemIdentifier != src.id {
		return errors.New("the source has another system identifier")
	}
	if _, ok := src.slots[d.Slot]; !ok && d.Slot != "" {
		return errors.New("no slot")
	}
	fresh := &instance{
		dir: s.Instance.DataDir, id: src.id, major: src.major, timeline: src.timeline, lsn: src.lsn, signal: true,
		auto: maps.Clone(src.auto), roles: maps.Clone(src.roles), slots: map[string]Slot{},
	}
	if m.inst != nil {
		m.aside = append(m.aside, m.inst)
	}
	if m.inst, m.empty = fresh, false; !w.admits(src, fresh, d.User, s.Instance.State) {
		return errors.New("the source does not let us in")
	}
	if !m.debian { // pg_hba.conf lies in the data directory
		m.hba = w.on(c, d.Source).hba
	}
	for _, name := range d.Settings.ResetAuto {
		delete(fresh.auto, name)
	}
	m.conf, m.included = d.Settings.Content, true
	return nil
}

// leave lets a stopped instance lie that is in another directory than the declared one.
func (m *machine) leave(s *Step) {
	if m.inst != nil && m.inst.dir != s.Instance.DataDir && !m.inst.running {
		m.aside, m.inst = append(m.aside, m.inst), nil
	}
}

// load makes the server read its files; at a start it takes all of them.
func (m *machine) load(start bool) {
	i, all := m.inst, catalog()
	want, ours := map[string]string{}, []string{}
	entries, err := postgres.ParseConf(m.conf)
	if err != nil {
		panic(err)
	}
	put := func(name, value string) bool {
		set, ok := all[name]
		v, err := postgres.NormalizeSetting(value, set)
		if ok && err == nil {
			want[name] = v
		}
		return ok && err == nil
	}
	for _, e := range entries {
		if _, over := i.auto[e.Name]; m.included && put(e.Name, e.Value) && !over {
			ours = append(ours, e.Name)
		}
	}
	for name, value := range i.auto {
		put(name, value)
	}
	i.pending = nil
	for _, name := range sortedKeys(all) {
		now, then := all[name].Value, all[name].Value
		if v, ok := want[name]; ok {
			now = v
		}
		if v, ok := i.live[name]; ok {
			then = v
		}
		if now != then && !start && all[name].Context == "postmaster" {
			want[name] = then
			i.pending = append(i.pending, name)
			if slices.Contains(i.ours, name) && !slices.Contains(ours, name) {
				ours = append(ours, name) // the live value still is the one from our file
			}
		}
	}
	slices.Sort(ours)
	i.live, i.ours, i.liveHBA = want, ours, m.hba
}

// flow lets WAL stream: standbys get where their source is.
func (w *world) flow() {
	w.now += 0x1000
	for _, m := range w.machines {
		if i := m.inst; i != nil && i.running && i.primary && i.lsn < w.now {
			i.lsn = w.now
		}
	}
	for range w.machines {
		for _, m := range w.machines {
			if i := m.inst; i != nil {
				if host, _, ok := w.source(i); ok {
					up := w.at(host)
					i.lsn, i.timeline = max(i.lsn, up.lsn), up.timeline
				}
			}
		}
	}
}

func (w *world) String() string {
	var b strings.Builder
	for _, host := range sortedKeys(w.machines) {
		m := w.machines[host]
		fmt.Fprintf(&b, "%s: %+v\n  %+v\n", host, *m, m.inst)
	}
	return b.String()
}
