package planner

import (
	"fmt"
	"slices"
	"strconv"

	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

// standbyFloor lists the settings that a hot standby must have at least as high as
// its primary (PostgreSQL manual, "Hot Standby", section "Administrator's Overview").
func standbyFloor() []string {
	return []string{"max_connections", "max_locks_per_transaction", "max_prepared_transactions", "max_wal_senders", "max_worker_processes"}
}

// standbyFloors refuses a standby whose setting would be below that of the primary:
// it would stop replaying, or not start at all.
func (b *builder) standbyFloors() {
	for _, n := range b.c.Nodes {
		if n == b.primary || b.halted[n.Name] || b.halted[b.primary.Name] {
			continue
		}
		for _, name := range standbyFloor() {
			have, known := b.floor(n, name)
			want, sure := b.floor(b.primary, name)
			if known && sure && have < want {
				b.errorf(n, fmt.Sprintf("Declare %s = %d or more for it.", name, want), "%s = %d on %s would be below the %d of the primary, and a standby stops replaying then", name, have, n.Name, want)
				b.floors = fmt.Sprintf("%s = %d would stop %s, which has %d", name, want, n.Name, have)
			}
		}
	}
}

// floor is what a setting of standbyFloor will be on a node, as far as that is known.
func (b *builder) floor(n *schema.Node, name string) (int64, bool) {
	live, ok := b.node(n).Server.Settings[name]
	if !ok {
		live = postgres.Setting{Name: name, VarType: "integer"}
	}
	v, declared := b.values[n.Name][name]
	auto, inAuto := b.node(n).Server.AutoConf[name]
	switch {
	case declared:
	case inAuto && !b.toBuild(n) && !b.node(n).Server.Running: // what it will start with
		v = auto
	case b.gone(n, name):
		return floorDefault(name), true
	case b.toBuild(n):
		return floorDefault(name), true
	default:
		v = live.Value
	}
	norm, err := postgres.NormalizeSetting(v, live)
	if err != nil {
		return 0, false
	}
	i, err := strconv.ParseInt(norm, 10, 64)
	return i, err == nil
}

// toBuild says that the node's data directory is to be made anew, so that nothing
// it is set to now counts.
func (b *builder) toBuild(n *schema.Node) bool {
	f, other := b.node(n), b.node(n).Data.SystemIdentifier != b.node(b.primary).Data.SystemIdentifier
	return f.vacant() || n != b.primary && !f.Server.Running && f.holds() && (other || !f.standbyData())
}

// floorDefault is PostgreSQL's default, the same in all versions since 10.
func floorDefault(name string) int64 {
	switch name {
	case "max_connections":
		return 100
	case "max_locks_per_transaction":
		return 64
	case "max_wal_senders":
		return 10
	case "max_worker_processes":
		return 8
	}
	return 0
}

// restartOrder chains the restarts of a cluster, one server at a time. Standbys go
// first, so that a setting which must not be lower on them is raised there before it
// is raised on the primary; when such a setting is lowered, the primary goes first,
// and also when a standby waits for what only the primary's restart brings.
func (b *builder) restartOrder() {
	var chain []string
	waits, first := false, b.id(b.primary, KindRestart)
	for _, n := range b.downstream() {
		if id := b.id(n, KindRestart); n != b.primary && b.has(id) {
			chain = append(chain, id)
			b.lowerAfterPrimary(n, &b.steps[b.index[id]])
			waits = waits || b.waitsFor(id, first, map[string]bool{})
		}
	}
	raised, lowered := b.floorChanges(b.primary)
	if b.has(first) {
		switch {
		case b.floors != "":
			b.blockSettings(b.primary, b.floors)
		case raised != "" && lowered != "" && len(chain) > 0:
			for _, n := range b.c.Nodes {
				b.blockSettings(n, raised+" is raised and "+lowered+" lowered at once, and standbys need the one before and the other after the primary: apply first the one, then the other")
			}
		case raised != "" && waits:
			for _, n := range b.c.Nodes {
				b.blockSettings(n, raised+" is raised, which standbys need before the primary, and one of them is to stream in a new way, which needs the primary first: apply first the one, then the other")
			}
		}
		if lowered != "" || waits {
			chain = append([]string{first}, chain...)
		} else {
			chain = append(chain, first)
		}
	}
	for i := 1; i < len(chain); i++ {
		s := &b.steps[b.index[chain[i]]]
		s.Needs = append(s.Needs, chain[i-1])
	}
}

// waitsFor says that one step needs another, by way of any number of others.
func (b *builder) waitsFor(id, other string, seen map[string]bool) bool {
	i, ok := b.index[id]
	if !ok || seen[id] {
		return false
	}
	seen[id] = true
	return slices.ContainsFunc(b.steps[i].Needs, func(need string) bool {
		return need == other && b.has(other) || b.waitsFor(need, other, seen)
	})
}

// blockSettings keeps new settings away from a node.
func (b *builder) blockSettings(n *schema.Node, why string) {
	for _, kind := range []Kind{KindSettings, KindRestart} {
		if i, ok := b.index[b.id(n, kind)]; ok {
			b.steps[i].Blocked = why
		}
	}
}

// lowerAfterPrimary lets a standby take a lower setting only while it follows the
// primary: what it last replayed of the primary's settings is what it must reach.
func (b *builder) lowerAfterPrimary(n *schema.Node, s *Step) {
	_, lowered := b.floorChanges(n)
	if lowered == "" {
		return
	}
	s.Reason += "; after the primary, since " + lowered + " is lowered"
	s.Pre = append(s.Pre, Condition{Node: n.Name, Fact: FactStreaming, Want: "true"})
	for _, name := range standbyFloor() {
		want, sure := b.floor(b.primary, name)
		if have := b.node(n).Data.Limits[name]; sure && have != "" && have != strconv.FormatInt(want, 10) {
			s.Pre = append(s.Pre, Condition{Node: n.Name, Fact: FactLimit, Arg: name, Want: strconv.FormatInt(want, 10)})
		}
	}
	if b.willStream(n) {
		return
	}
	s.Needs = append(s.Needs, b.mends(n)...)
	if !b.mendable(n) {
		s.Blocked = fmt.Sprintf("%s is lowered, and %s does not stream, so it has not seen that the primary lowered it", lowered, n.Name)
	}
}

// floorChanges names a setting of standbyFloor that is raised on a node, and one that is lowered.
func (b *builder) floorChanges(n *schema.Node) (raised, lowered string) {
	for _, name := range standbyFloor() {
		before, err := strconv.ParseInt(b.node(n).Server.Settings[name].Value, 10, 64)
		after, known := b.floor(n, name)
		switch {
		case err != nil || !known:
		case after > before:
			raised = name
		case after < before:
			lowered = name
		}
	}
	return raised, lowered
}

// gone says that a setting comes from our file, which no longer declares it.
func (b *builder) gone(n *schema.Node, name string) bool {
	return slices.Contains(b.node(n).Server.FromOurFile, name)
}
