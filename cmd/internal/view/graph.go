package view

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"pg_manage/planner"
)

// Graph writes a plan's steps in the DOT language: an arrow leads from a step to
// those that wait on it, each cluster is a box.
func Graph(w io.Writer, p *planner.Plan) error {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, "digraph plan {\n  rankdir = LR;\n  node [shape = box, fontname = \"sans-serif\"];")
	for i, cluster := range clustersOf(p) {
		fmt.Fprintf(b, "  subgraph cluster_%d {\n    label = %s;\n", i, dot(cluster))
		for _, s := range p.Steps {
			if s.Cluster != cluster {
				continue
			}
			style := ""
			switch {
			case s.Blocked != "":
				style = ", style = dashed"
			case s.Effect == planner.EffectDataLoss:
				style = ", color = red"
			}
			fmt.Fprintf(b, "    %s [label = %s%s];\n", dot(s.ID), dot(s.Node+"\n"+s.Action.Symbol()+" "+s.Summary), style)
		}
		fmt.Fprintln(b, "  }")
	}
	for _, s := range p.Steps {
		for _, need := range s.Needs {
			if p.Step(need) != nil {
				fmt.Fprintf(b, "  %s -> %s;\n", dot(need), dot(s.ID))
			}
		}
	}
	fmt.Fprintln(b, "}")
	if err := b.Flush(); err != nil {
		return fmt.Errorf("writing the graph: %w", err)
	}
	return nil
}

// dot is a text as a quoted ID of the DOT language.
func dot(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(clean(text)) + `"`
}
