package schema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// validate checks what spans several blocks and can be known without a host.
func (l *loader) validate() {
	for _, c := range l.config.Clusters {
		b := l.decls.clusters[c]
		l.checkRoles(c, b)
		l.checkUpstreams(c)
		for _, n := range c.Nodes {
			l.checkReachable(n)
			l.checkStandbyOnly(n, c)
			fillNode(n)
		}
		l.checkCircles(c)
		l.checkAddresses(c)
		if len(c.Nodes) > 1 && c.Replication == nil && !b.meant("replication") {
			l.errorAt(b.def, fmt.Sprintf("Cluster %q has standbys but no replication block", c.Name),
				"Add: replication {\n  user     = \"replicator\"\n  password = env(\"REPLICATION_PASSWORD\")\n}")
		}
		l.checkSettings(c)
	}
	l.checkCollisions()
}

// place is where an argument of a node stands: in the node, else in the cluster,
// else the node's header.
func (d *nodeBlocks) place(name string) hcl.Range {
	if d.node.attrs[name] == nil && d.cluster.attrs[name] != nil {
		return d.cluster.place(name)
	}
	return d.node.place(name)
}

// wrong says whether an argument has been found wrong already.
func (d *nodeBlocks) wrong(name string) bool { return d.node.bad[name] || d.cluster.bad[name] }

// checkRoles wants exactly one primary.
func (l *loader) checkRoles(c *Cluster, b *block) {
	var primaries []*Node
	unknown := false
	for _, n := range c.Nodes {
		unknown = unknown || l.decls.nodes[n].node.bad["role"]
		if n.Role == RolePrimary {
			primaries = append(primaries, n)
		}
	}
	switch {
	case len(c.Nodes) == 0 && b.meant("node"):
	case len(c.Nodes) == 0:
		l.errorAt(b.def, fmt.Sprintf("Cluster %q has no node", c.Name), "Add: node \"node1\" {\n  host = \"10.0.0.1\"\n  role = \"primary\"\n}")
	case len(primaries) == 0 && !unknown:
		l.errorAt(b.def, fmt.Sprintf("Cluster %q has no primary", c.Name), "Write role = \"primary\" in one of its nodes.")
	}
	for _, n := range primaries[min(1, len(primaries)):] {
		l.errorAt(l.decls.nodes[n].node.place("role"), fmt.Sprintf("Cluster %q has two primaries", c.Name),
			fmt.Sprintf("Node %q is the primary already, at %s. Write role = \"standby\" in one of them.", primaries[0].Name, primaries[0].Range))
	}
}

// checkUpstreams resolves where standbys stream from.
func (l *loader) checkUpstreams(c *Cluster) {
	names := nodeNames(c)
	for _, n := range c.Nodes {
		d := l.decls.nodes[n]
		switch {
		case n.Upstream == "":
			if p := c.Primary(); n.Role == RoleStandby && p != nil && !d.node.bad["upstream"] {
				n.Upstream = p.Name
			}
		case n.Role == RolePrimary:
			d.node.wrong("upstream", "A primary has no upstream", "Remove the argument, or write role = \"standby\".")
		case n.Upstream == n.Name:
			d.node.wrong("upstream", fmt.Sprintf("Node %q cannot be its own upstream", n.Name), "Name another node, or leave the argument out to stream from the primary.")
		case c.Node(n.Upstream) == nil:
			others := slices.DeleteFunc(slices.Clone(names), func(s string) bool { return s == n.Name })
			d.node.wrong("upstream", fmt.Sprintf("No node %q in cluster %q", n.Upstream, c.Name),
				didYouMean(n.Upstream, others, "Without the argument a standby streams from the primary."))
		}
	}
}

func nodeNames(c *Cluster) []string {
	var out []string
	for _, n := range c.Nodes {
		out = append(out, n.Name)
	}
	return out
}

// checkCircles finds standbys that stream from each other, each circle once.
func (l *loader) checkCircles(c *Cluster) {
	reported := map[string]bool{}
	for _, start := range c.Nodes {
		var chain []string
		for n := start; n != nil && n.Role == RoleStandby && n.Upstream != ""; n = c.Node(n.Upstream) {
			i := slices.Index(chain, n.Name)
			if i < 0 {
				chain = append(chain, n.Name)
				continue
			}
			circle := chain[i:]
			if len(circle) > 1 && !slices.ContainsFunc(circle, func(s string) bool { return reported[s] }) {
				l.errorAt(l.decls.nodes[n].place("upstream"), "Standbys stream from each other in a circle",
					fmt.Sprintf("%s -> %s. One of them must stream from the primary or from a standby outside the circle.", strings.Join(circle, " -> "), n.Name))
			}
			for _, s := range circle {
				reported[s] = true
			}
			break
		}
	}
}

// checkReachable wants what the operator's machine needs to reach a node.
func (l *loader) checkReachable(n *Node) {
	d := l.decls.nodes[n]
	switch n.Connection.Type {
	case connectionLocal:
		if d.node.has("host") {
			d.node.wrong("host", "A local node has no host", "Remove the argument; where other nodes must reach this one by network, write address = \"...\". For a remote node remove connection { type = \"local\" }.")
		}
		for _, name := range []string{"user", "port", "identity_file", "proxy_jump", "connect_timeout"} {
			if len(d.connection) > 0 && d.connection[0].has(name) {
				d.connection[0].wrong(name, fmt.Sprintf("%q is for type = \"ssh\"", name), "A local node is reached without a connection: remove the argument.")
			}
		}
	default:
		if !d.node.has("host") && !d.node.meant("host") {
			l.errorAt(d.node.def, fmt.Sprintf("Node %q has no host", n.Name),
				"Write for example host = \"10.0.0.1\", or for a node on this machine: connection { type = \"local\" }")
		}
	}
}

// checkStandbyOnly refuses on a primary what is for standbys.
func (l *loader) checkStandbyOnly(n *Node, c *Cluster) {
	b := l.decls.nodes[n].node
	if n.Role == RolePrimary {
		for _, name := range []string{"delay", "seed_from"} {
			if b.has(name) && !b.bad[name] {
				b.wrong(name, fmt.Sprintf("%q is for standbys", name), fmt.Sprintf("Node %q is the primary: remove the argument.", n.Name))
			}
		}
	}
	if slices.Contains(n.SeedFrom, "backup") && len(c.Backups) == 0 && !b.bad["seed_from"] {
		b.wrong("seed_from", fmt.Sprintf("Cluster %q declares no backup to seed from", c.Name),
			"Add backup \"nightly\" { target = \"...\" } to the cluster, or take \"backup\" out of the list.")
	}
}

// fillNode gives what the file leaves out.
func fillNode(n *Node) {
	if n.Connection.Type == connectionLocal {
		n.Address = or(n.Address, "127.0.0.1")
	}
	n.Address = or(n.Address, n.Host)
	if n.Role == RoleStandby && len(n.SeedFrom) == 0 {
		n.SeedFrom = []string{"upstream"}
	}
}

// checkAddresses finds a loopback address that other machines are told to use.
func (l *loader) checkAddresses(c *Cluster) {
	remote := slices.ContainsFunc(c.Nodes, func(n *Node) bool { return n.Connection.Type != connectionLocal })
	for _, n := range c.Nodes {
		if remote && n.Connection.Type == connectionLocal && !l.decls.nodes[n].node.has("address") {
			l.errorAt(l.decls.nodes[n].node.def, fmt.Sprintf("Other nodes cannot reach %q", n.Name),
				"It is on this machine while others are not. Write address = \"...\" with the address that they reach it by.")
		}
	}
}
