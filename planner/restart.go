package planner

import (
	"strconv"

	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

// standbyFloor lists the settings that a hot standby must have at least as high as
// its primary (PostgreSQL manual, "Hot Standby", section "Administrator's Overview").
func standbyFloor() []string {
	return []string{"max_connections", "max_locks_per_transaction", "max_prepared_transactions", "max_wal_senders", "max_worker_processes"}
}

// restartOrder chains the restarts of a cluster, one server at a time. Standbys go
// first, so that a setting which must not be lower on them is raised there before it
// is raised on the primary; when such a setting is lowered, the primary goes first.
func (b *builder) restartOrder() {
	if b.primary == nil {
		return
	}
	var chain []string
	for _, n := range b.c.Nodes {
		if id := b.id(n, KindRestart); n != b.primary && b.has(id) {
			chain = append(chain, id)
		}
	}
	raised, lowered := b.floorChanges(b.primary)
	if id := b.id(b.primary, KindRestart); b.has(id) {
		switch {
		case raised != "" && lowered != "" && len(chain) > 0:
			for _, n := range b.c.Nodes {
				for _, kind := range []Kind{KindSettings, KindRestart} {
					if i, ok := b.index[b.id(n, kind)]; ok {
						b.steps[i].Blocked = raised + " is raised and " + lowered + " lowered at once, and standbys need the one before and the other after the primary: apply first the one, then the other"
					}
				}
			}
		case lowered != "":
			chain = append([]string{id}, chain...)
			for _, n := range b.c.Nodes {
				if i, ok := b.index[b.id(n, KindRestart)]; ok && n != b.primary {
					b.steps[i].Reason += "; after the primary, since " + lowered + " is lowered"
					b.steps[i].Pre = append(b.steps[i].Pre, Condition{Node: n.Name, Fact: FactStreaming, Want: "true"})
				}
			}
		default:
			chain = append(chain, id)
		}
	}
	for i := 1; i < len(chain); i++ {
		s := &b.steps[b.index[chain[i]]]
		s.Needs = append(s.Needs, chain[i-1])
	}
}

// floorChanges names a setting of standbyFloor that is raised on a node, and one that is lowered.
func (b *builder) floorChanges(n *schema.Node) (raised, lowered string) {
	for _, name := range standbyFloor() {
		live, ok := b.node(n).Server.Settings[name]
		if !ok {
			continue
		}
		want, declared := b.values[n.Name][name]
		if !declared {
			if b.gone(n, name) {
				lowered = name // back to the default, which nobody declares above itself
			}
			continue
		}
		norm, err := postgres.NormalizeSetting(want, live)
		if err != nil {
			continue
		}
		before, err1 := strconv.ParseInt(live.Value, 10, 64)
		after, err2 := strconv.ParseInt(norm, 10, 64)
		if err1 != nil || err2 != nil {
			continue
		}
		if after > before {
			raised = name
		} else if after < before {
			lowered = name
		}
	}
	return raised, lowered
}

// gone says that a setting comes from our file, which no longer declares it.
func (b *builder) gone(n *schema.Node, name string) bool {
	for _, have := range b.node(n).Server.FromOurFile {
		if have == name {
			return true
		}
	}
	return false
}
