package planner

import (
	"fmt"
	"slices"
	"strings"

	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

func (b *builder) settingsDetail(n *schema.Node) SettingsDetail {
	return SettingsDetail{Content: b.files[n.Name], Values: b.values[n.Name]}
}

// settingsDiff is how a node's settings differ from what is declared.
type settingsDiff struct {
	changes   []Change
	restart   []string          // names that take effect only at a restart
	reload    []string          // names that a reload brings into effect
	resetAuto []string          // names that postgresql.auto.conf overrides
	blocked   string            // why they can't be brought into effect
	expect    map[string]string // values that the server must show afterwards
}

// settings brings pg_manage.conf, and what the server makes of it, to what is declared.
func (b *builder) settings(n *schema.Node) {
	f := b.node(n)
	if b.halted[n.Name] || b.has(b.id(n, KindBuild)) || b.has(b.id(n, KindRestore)) { // these write them themselves
		return
	}
	diff := b.diffSettings(n)
	if b.halted[n.Name] {
		return
	}
	if b.repointed[n.Name] = n != b.primary && diff.repoints(); b.repointed[n.Name] {
		if up := b.upstream(n); up != nil && b.halted[up.Name] {
			diff.blocked = fmt.Sprintf("nothing can be planned for %s, which it is to stream from", up.Name)
		} else {
			diff.blocked = b.noRole()
		}
	}
	if f.Files.Settings != b.files[n.Name] || !f.Files.Included || len(diff.resetAuto) > 0 {
		d := b.settingsDetail(n)
		d.ResetAuto = diff.resetAuto
		s := Step{
			Action: ActionUpdate, Summary: "write settings to " + f.Paths.ConfigDir + "/" + SettingsFile,
			Reason: settingsReason(f, diff), Changes: diff.changes,
			Pre:   []Condition{{Node: n.Name, Fact: FactDataState, Want: string(DataCluster)}},
			Post:  []Condition{{Node: n.Name, Fact: FactSettings, Want: Digest(d.Content)}},
			Needs: append(b.archivesCreated(n), b.id(n, KindInit), b.id(n, KindInstall), b.id(n, KindHookConfig), b.id(n, KindPassfile)),
			Undo:  "the file is put back when PostgreSQL finds a mistake in it", Blocked: diff.blocked,
		}
		if f.Files.Settings == "" {
			s.Action = ActionCreate
		}
		if up := b.upstream(n); n != b.primary && up != nil && diff.repoints() {
			s.Needs = append(s.Needs, b.id(up, KindCreateSlot, postgres.SlotName(n.Name)), b.id(up, KindHBA), b.id(b.primary, KindRole))
			s.Needs = append(s.Needs, b.running(up)...)
		}
		for _, name := range diff.resetAuto {
			s.Commands = append(s.Commands, fmt.Sprintf("psql -c 'ALTER SYSTEM RESET %s'", name))
		}
		b.add(n, d, s)
		if len(diff.reload) == 0 && len(diff.restart) == 0 {
			diff.reload = []string{SettingsFile}
		}
	}
	b.activate(n, diff)
}

// repoints says that a standby will ask another server, or ask in another way.
func (d settingsDiff) repoints() bool {
	return slices.ContainsFunc(slices.Concat(d.reload, d.restart), func(name string) bool {
		return name == "primary_conninfo" || name == "primary_slot_name"
	})
}

func settingsReason(f *NodeFacts, d settingsDiff) string {
	switch {
	case f.Files.Settings == "":
		return "the file does not exist"
	case len(d.resetAuto) > 0:
		return "postgresql.auto.conf overrides " + strings.Join(d.resetAuto, ", ")
	case !f.Files.Included:
		return "postgresql.conf does not include it at its end"
	}
	return "the declared settings differ from the file"
}

func (b *builder) diffSettings(n *schema.Node) settingsDiff {
	f, want := b.node(n), b.values[n.Name]
	d := settingsDiff{expect: map[string]string{}}
	old := map[string]string{}
	if entries, err := postgres.ParseConf(f.Files.Settings); err == nil {
		for _, e := range entries {
			old[strings.ToLower(e.Name)] = e.Value
		}
	}
	for _, name := range sortedKeys(want) {
		b.diffSetting(n, &d, name, old)
	}
	gone := map[string]bool{}
	for name := range old {
		gone[name] = true
	}
	for _, name := range f.Server.FromOurFile {
		gone[name] = true
	}
	for _, name := range sortedKeys(gone) {
		if _, still := want[name]; still {
			continue
		}
		c := Change{Name: name, Before: redact(name, first(old[name], f.Server.Settings[name].Value)), Note: "back to PostgreSQL's default"}
		d.note(name, f.Server.Settings[name], &c)
		d.changes = append(d.changes, c)
	}
	for _, name := range f.Server.PendingRestart {
		_, declared := want[name]
		switch {
		case slices.Contains(d.restart, name):
		case declared: // the server has the declared value, and last read another one: it has to read again
			d.reload = append(d.reload, name)
		case gone[name]:
			d.restart = append(d.restart, name)
		case !f.Server.InRecovery && strings.HasPrefix(name, "recovery_target"):
			// Left from a recovery that has ended, and of no effect on a primary.
		default:
			b.warnf(n, "pg_manage does not restart for what it does not govern.", "%s on %s was changed outside pg_manage and waits for a restart", name, n.Name)
		}
	}
	return d
}

// diffSetting compares one declared setting with the live one, or with the file while no server answers.
func (b *builder) diffSetting(n *schema.Node, d *settingsDiff, name string, old map[string]string) {
	f, value := b.node(n), b.values[n.Name][name]
	auto, inAuto := f.Server.AutoConf[name]
	if !f.Server.Accepting {
		if inAuto && auto != value {
			d.resetAuto = append(d.resetAuto, name)
		}
		if was, ok := old[name]; !ok || was != value {
			d.changes = append(d.changes, Change{Name: name, Before: redact(name, was), After: value})
		}
		return
	}
	live, known := f.Server.Settings[name]
	if !known {
		if strings.Contains(name, ".") { // of an extension that is not loaded
			if old[name] != value {
				d.changes = append(d.changes, Change{Name: name, Before: old[name], After: value})
				d.reload = append(d.reload, name)
			}
			return
		}
		b.errorf(n, "Take it out of parameters, or correct its name.", "PostgreSQL %d has no parameter %q", b.c.Version, name)
		return
	}
	same, err := postgres.EqualSetting(value, live)
	if err != nil {
		b.errorf(n, "Write another value.", "parameter %s = %q: %v", name, value, err)
		return
	}
	if inAuto && (!same || overrides(auto, value, live)) { // also what waits there for a restart
		d.resetAuto = append(d.resetAuto, name)
	}
	if same {
		return
	}
	c := Change{Name: name, Before: redact(name, postgres.ShowSetting(live)), After: value}
	d.note(name, live, &c)
	d.changes = append(d.changes, c)
	d.expect[name] = value
}

// overrides says that the value in postgresql.auto.conf is not the declared one.
func overrides(auto, declared string, live postgres.Setting) bool {
	have, err1 := postgres.NormalizeSetting(auto, live)
	want, err2 := postgres.NormalizeSetting(declared, live)
	return err1 != nil || err2 != nil || have != want
}

// note sorts a changed setting by what brings it into effect.
func (d *settingsDiff) note(name string, live postgres.Setting, c *Change) {
	if postgres.RestartNeeded(live.Context) {
		d.restart = append(d.restart, name)
		c.Note = strings.TrimPrefix(c.Note+", requires restart", ", ")
	} else {
		d.reload = append(d.reload, name)
	}
}

func first(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}
