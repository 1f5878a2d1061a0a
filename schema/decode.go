package schema

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// declarations keep the block that each object was read from, so that a finding
// about the object has the place of the argument.
type declarations struct {
	clusters    map[*Cluster]*block
	nodes       map[*Node]*nodeBlocks
	targets     map[string]*Target
	targetNames []string
}

// nodeBlocks are the blocks that a node's arguments come from.
type nodeBlocks struct {
	node, cluster *block
	connection    []*block // the node's own first
}

func newDeclarations() declarations {
	return declarations{clusters: map[*Cluster]*block{}, nodes: map[*Node]*nodeBlocks{}, targets: map[string]*Target{}}
}

// decode turns the blocks of all files into targets and clusters. Targets come
// first, since clusters refer to them.
func (l *loader) decode(blocks []*block) {
	var targets, clusters []*block
	for _, b := range blocks {
		switch b.kind {
		case "target":
			targets = append(targets, b)
		case "cluster":
			clusters = append(clusters, b)
		}
	}
	l.distinctLabels(targets)
	for _, b := range targets {
		t := l.target(b)
		l.config.Targets = append(l.config.Targets, t)
		if _, dup := l.decls.targets[t.Name]; !dup {
			l.decls.targets[t.Name] = t
			l.decls.targetNames = append(l.decls.targetNames, t.Name)
		}
	}
	l.distinctLabels(clusters)
	for _, b := range clusters {
		c := l.cluster(b)
		l.config.Clusters = append(l.config.Clusters, c)
		l.decls.clusters[c] = b
	}
}

// nameText is the form of the names of clusters, nodes and targets: they stand
// in paths and application names.
var nameText = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

// distinctLabels checks the names of blocks of one kind in one place.
func (l *loader) distinctLabels(blocks []*block) {
	first := map[string]*block{}
	for _, b := range blocks {
		name := b.label()
		if name != "" {
			if f := first[name]; f != nil {
				l.errorAt(b.labelRange(), fmt.Sprintf("%s is declared twice", capital(b.called())),
					fmt.Sprintf("It is already declared at %s. Give one of them another name.", rangeOf(f.labelRange())))
				continue
			}
			first[name] = b
		}
		l.checkName(b)
	}
}

func (l *loader) checkName(b *block) {
	if name := b.label(); !nameText.MatchString(name) {
		l.errorAt(b.labelRange(), fmt.Sprintf("%q cannot be the name of a %s", name, b.kind),
			"A name has 1 to 63 letters, digits, underscores, dots and hyphens, and starts with a letter or digit.")
	}
}

// or gives the first of two texts unless it is empty.
func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func hasDotDot(p string) bool {
	for part := range strings.SplitSeq(p, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}

func cleanPath(p string) string { return path.Clean(p) }
