package planner

import (
	"fmt"
	"slices"
	"strings"

	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

// start makes the server run. It waits for all that has to be in place before.
func (b *builder) start(n *schema.Node, blocked string, after ...string) {
	f := b.node(n)
	s := Step{
		Action: ActionCreate, Summary: "start PostgreSQL", Reason: "no server runs on " + f.Paths.DataDir,
		Blocked: blocked, Commands: []string{serviceCommand(b.instance(n), "start")},
		Pre:  []Condition{{Node: n.Name, Fact: FactDataState, Want: string(DataCluster)}},
		Post: b.runs(n),
		Needs: append(slices.Concat(after, b.archivesCreated(n)), b.id(n, KindInit), b.id(n, KindBuild), b.id(n, KindSettings), b.id(n, KindHBA),
			b.id(n, KindPassfile), b.id(n, KindHookConfig)),
	}
	if n != b.primary {
		if up := b.upstream(n); up != nil {
			s.Needs = append(s.Needs, b.id(up, KindCreateSlot, postgres.SlotName(n.Name)), b.id(up, KindHBA), b.id(b.primary, KindRole))
			s.Needs = append(s.Needs, b.running(up)...)
		}
	} else {
		for _, o := range b.c.Nodes { // nobody else may have become primary in the meantime
			if of := b.node(o); o != n && of.Server.Accepting {
				s.Pre = append(s.Pre, Condition{Node: o.Name, Fact: FactRole, Want: "standby"})
			}
		}
	}
	i, built := b.index[b.id(n, KindBuild)]
	replays := built && b.steps[i].Detail.(BuildDetail).Backup != nil
	b.add(n, StartDetail{Replays: replays}, s)
}

// runs are the conditions of a server that runs in its place.
func (b *builder) runs(n *schema.Node) []Condition {
	c := []Condition{{Node: n.Name, Fact: FactAccepting, Want: "true"}}
	if n == b.primary {
		return append(c, Condition{Node: n.Name, Fact: FactRole, Want: "primary"})
	}
	c = append(c, Condition{Node: n.Name, Fact: FactRole, Want: "standby"})
	if up := b.upstream(n); up != nil && !b.halted[up.Name] && b.c.Replication != nil && b.noRole() == "" {
		c = append(c, Condition{Node: n.Name, Fact: FactStreaming, Want: "true"})
	}
	return c
}

// activate brings changed files into effect in a running server.
func (b *builder) activate(n *schema.Node, d settingsDiff) {
	if !b.node(n).Server.Accepting {
		return
	}
	s := Step{
		Action: ActionUpdate,
		Pre:    []Condition{{Node: n.Name, Fact: FactAccepting, Want: "true"}},
		Needs:  []string{b.id(n, KindSettings), b.id(n, KindHBA), b.id(n, KindPassfile), b.id(b.primary, KindRole)},
		Post:   b.runs(n), Blocked: d.blocked,
	}
	if n != b.primary && !d.repoints() && b.node(n).Server.Receiver == nil {
		// It did not stream before, and what is done here is not meant to change that.
		s.Post = slices.DeleteFunc(s.Post, func(c Condition) bool { return c.Fact == FactStreaming })
	}
	for _, name := range sortedKeys(d.expect) {
		if len(d.restart) > 0 || slices.Contains(d.reload, name) {
			s.Post = append(s.Post, Condition{Node: n.Name, Fact: FactSetting, Arg: name, Want: d.expect[name]})
		}
	}
	if _, lowered := b.floorChanges(n); len(d.restart) > 0 && len(d.reload) > 0 && lowered != "" && b.repointed[n.Name] {
		first := d // it may take the lower setting only once it streams from where it belongs
		first.restart = nil
		b.activate(n, first)
		s.Needs = append(s.Needs, b.id(n, KindReload))
	}
	switch {
	case len(d.restart) > 0:
		s.Effect, s.Summary = EffectRestart, "restart PostgreSQL"
		s.Reason = "takes effect only at a restart: " + strings.Join(d.restart, ", ")
		s.Commands = []string{serviceCommand(b.instance(n), "restart")}
		b.add(n, RestartDetail{Expect: d.expect}, s)
	case len(d.reload) > 0:
		s.Effect, s.Summary = EffectReload, "reload PostgreSQL"
		s.Reason = "takes effect at a reload: " + strings.Join(d.reload, ", ")
		s.Commands = []string{"psql -c 'SELECT pg_reload_conf()'"}
		b.add(n, ReloadDetail{Expect: d.expect}, s)
	}
}

func serviceCommand(i Instance, verb string) string {
	switch i.Manager {
	case ManagerSystemd:
		return "systemctl " + verb + " " + i.Unit
	case ManagerPgCtlcluster:
		return fmt.Sprintf("pg_ctlcluster %d %s %s", i.Major, debianName(i.DataDir), verb)
	}
	return fmt.Sprintf("pg_ctl --pgdata=%s --wait %s", shellQuote(i.DataDir), verb)
}
