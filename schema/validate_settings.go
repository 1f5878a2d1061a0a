package schema

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// checkSettings finds parameters that contradict what the cluster is declared to do.
func (l *loader) checkSettings(c *Cluster) {
	standbys := len(c.Nodes) > 1
	for _, n := range c.Nodes {
		p := n.Parameters
		if standbys || c.Archived() {
			l.refuseMinimal(n, c, standbys)
		}
		l.checkSenders(c, n)
		for _, name := range []string{"fsync", "full_page_writes"} {
			if v, ok := p[name]; ok && isOff(v) {
				l.warnAt(l.parameterPlace(n, name), fmt.Sprintf("%s is off", name),
					"After a crash of the host the data may be damaged beyond repair, on the standbys and in backups too. Remove it unless the data can be thrown away.")
			}
		}
		if v := strings.TrimSpace(p["listen_addresses"]); n.Connection.Type != connectionLocal && downstream(c, n) > 0 {
			if _, set := p["listen_addresses"]; set && onlyLoopback(v) {
				l.warnAt(l.parameterPlace(n, "listen_addresses"), fmt.Sprintf("Node %q listens on this host alone", n.Name),
					"No standby on another host can stream from it. Add the node's address, or write \"*\".")
			}
		}
	}
	l.checkStandbyLimits(c)
}

// refuseMinimal refuses settings without which nothing can stream or be archived
// (PostgreSQL manual, "Write Ahead Log" and "Replication" settings).
func (l *loader) refuseMinimal(n *Node, c *Cluster, standbys bool) {
	why := "It has standbys, which take"
	if !standbys {
		why = "It archives WAL, which takes"
	}
	if strings.EqualFold(n.Parameters["wal_level"], "minimal") {
		l.errorAt(l.parameterPlace(n, "wal_level"), fmt.Sprintf("wal_level = minimal is not enough for cluster %q", c.Name),
			why+" \"replica\" or \"logical\". Remove the parameter: \"replica\" is PostgreSQL's default.")
	}
	if v, ok := n.Parameters["hot_standby"]; ok && standbys && isOff(v) {
		l.errorAt(l.parameterPlace(n, "hot_standby"), "hot_standby cannot be off",
			"A standby that takes no connection cannot be observed. Remove the parameter: \"on\" is PostgreSQL's default.")
	}
	if v, ok := n.Parameters["max_wal_senders"]; ok && !standbys && v == "0" {
		l.errorAt(l.parameterPlace(n, "max_wal_senders"), "max_wal_senders cannot be 0",
			"It archives WAL and may be copied from. Remove the parameter: 10 is PostgreSQL's default.")
	}
}

// checkSenders wants enough WAL senders and slots at every node that others
// stream from, also while one of them is built anew: pg_basebackup takes two.
func (l *loader) checkSenders(c *Cluster, n *Node) {
	down := downstream(c, n)
	if down == 0 {
		return
	}
	l.atLeast(n, "max_wal_senders", down+1, 10, fmt.Sprintf("Nodes that stream from %q: %d; building one of them anew takes one more", n.Name, down))
	l.atLeast(n, "max_replication_slots", down, 10, fmt.Sprintf("Nodes that stream from %q: %d, each by a slot of its own", n.Name, down))
}

func downstream(c *Cluster, n *Node) int {
	down := 0
	for _, other := range c.Nodes {
		if other.Upstream == n.Name && other != n {
			down++
		}
	}
	return down
}

func (l *loader) atLeast(n *Node, name string, need, otherwise int, why string) {
	have := otherwise
	if v, ok := n.Parameters[name]; ok {
		i, err := strconv.Atoi(strings.TrimSpace(v))
		if err != nil {
			l.errorAt(l.parameterPlace(n, name), fmt.Sprintf("%s must be a number", name), fmt.Sprintf("It is %q. Write at least %d.", v, need))
			return
		}
		have = i
	}
	if have < need {
		l.errorAt(l.parameterPlace(n, name), fmt.Sprintf("%s = %d is too small", name, have),
			fmt.Sprintf("%s. Write %s = %d or more.", why, name, need))
	}
}

// checkStandbyLimits compares settings that a hot standby needs at least as large
// as its primary (PostgreSQL manual, "Hot Standby", "Administrator's Overview").
func (l *loader) checkStandbyLimits(c *Cluster) {
	primary := c.Primary()
	if primary == nil {
		return
	}
	for _, name := range []string{"max_connections", "max_prepared_transactions", "max_wal_senders", "max_worker_processes", "max_locks_per_transaction"} {
		want, err := strconv.Atoi(primary.Parameters[name])
		if err != nil {
			continue
		}
		for _, n := range c.Nodes {
			have, err := strconv.Atoi(n.Parameters[name])
			if n.Role == RoleStandby && err == nil && have < want {
				l.errorAt(l.parameterPlace(n, name), fmt.Sprintf("%s = %d is less than the primary's %d", name, have, want),
					fmt.Sprintf("A standby stops replaying then. Write at least %d in node %q.", want, n.Name))
			}
		}
	}
}

// parameterPlace is where a node's parameter is written.
func (l *loader) parameterPlace(n *Node, name string) hcl.Range {
	d := l.decls.nodes[n]
	for _, b := range []*block{d.node, d.cluster} {
		if place, ok := b.keyPlaces("parameters")[name]; ok {
			return place
		}
	}
	return d.place("parameters")
}

// isOff reads a truth value as PostgreSQL does, where off is what counts.
func isOff(v string) bool {
	v = strings.ToLower(strings.TrimSpace(v))
	return v == "0" || v == "off" || v == "of" || v != "" && (strings.HasPrefix("false", v) || strings.HasPrefix("no", v))
}

func onlyLoopback(v string) bool {
	for part := range strings.SplitSeq(v, ",") {
		switch strings.TrimSpace(part) {
		case "", "localhost", "127.0.0.1", "::1":
		default:
			return false
		}
	}
	return true
}
