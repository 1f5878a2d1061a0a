package schema

import "fmt"

// checkCollisions finds instances that would share a port or a data directory of
// one host, within and across clusters.
func (l *loader) checkCollisions() {
	ports, dirs := map[string]*Node{}, map[string]*Node{}
	for _, c := range l.config.Clusters {
		for _, n := range c.Nodes {
			host, ok := hostKey(n)
			d := l.decls.nodes[n]
			if !ok || d.node.bad["host"] {
				continue
			}
			if !d.wrong("port") {
				l.collide(ports, fmt.Sprintf("%s:%d", host, n.Port), n, "port",
					fmt.Sprintf("port %d", n.Port), "Write another port in one of them.")
			}
			if d.wrong("data_dir") || d.wrong("version") {
				continue
			}
			dir, example := n.DataDir, n.DataDir+"-"+n.Name
			shown := "data_dir " + dir
			if dir == "" { // the distribution's convention depends on the version alone
				shown = fmt.Sprintf("the default data directory of version %d", c.Version)
				dir, example = fmt.Sprintf("default %d", c.Version), fmt.Sprintf("/var/lib/postgresql/%d/%s", c.Version, n.Name)
			}
			l.collide(dirs, host+" "+dir, n, "data_dir", shown, fmt.Sprintf("Write another data_dir in one of them, for example data_dir = %q.", example))
		}
	}
}

// hostKey identifies the machine of a node as far as the file tells.
func hostKey(n *Node) (string, bool) {
	if n.Connection.Type == connectionLocal {
		return "this machine", true
	}
	if n.Host == "" {
		return "", false
	}
	port := n.Connection.Port
	if port == 0 {
		port = 22
	}
	return fmt.Sprintf("host %s (ssh port %d)", n.Host, port), true
}

func (l *loader) collide(seen map[string]*Node, key string, n *Node, arg, what, instead string) {
	other := seen[key]
	if other == nil {
		seen[key] = n
		return
	}
	if other.Name == n.Name && other.Range.File == n.Range.File && l.decls.nodes[other].cluster == l.decls.nodes[n].cluster {
		return // the name is there twice, which has been said
	}
	where := "on " + other.Host
	if n.Connection.Type == connectionLocal {
		where = "on this machine"
	}
	first, second := l.decls.nodes[other], l.decls.nodes[n]
	summary := fmt.Sprintf("Nodes %q and %q share %s %s", other.Name, n.Name, what, where)
	if first.cluster != second.cluster {
		summary = fmt.Sprintf("Node %q of cluster %q and node %q of cluster %q share %s %s", other.Name, first.cluster.label(), n.Name, second.cluster.label(), what, where)
	}
	l.errorAt(second.place(arg), summary, fmt.Sprintf("Node %q is declared at %s. %s", other.Name, other.Range, instead))
}
