package main

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"

	"pg_manage/planner"
)

// consent asks for what the plan needs, or refuses before anything is done.
func (a *app) consent(ctx context.Context, o *applyOptions, p *planner.Plan) error {
	var missing []planner.Step
	for _, s := range p.DataLoss() {
		if !slices.ContainsFunc(o.allowLoss, func(name string) bool { return lossOf(s, name) }) {
			missing = append(missing, s)
		}
	}
	ask := a.person && !a.json
	if len(missing) > 0 && (!ask || o.autoApprove) {
		var flags []string
		for _, s := range missing {
			if f := "--allow-data-loss=" + quote(s.Node); !slices.Contains(flags, f) {
				flags = append(flags, f)
			}
		}
		return &hintedError{
			fmt.Sprintf("%s/%s: this step loses data, and needs consent by name: %s", missing[0].Cluster, missing[0].Node, missing[0].Summary),
			"Nothing was done. Look at the plan, and if this is what you want, give consent by name: " + strings.Join(flags, " ") + ".",
		}
	}
	if !o.autoApprove && !ask {
		return &hintedError{"apply needs consent, and there is no terminal to ask at", "Nothing was done. Look at the plan, then run apply at a terminal, or with --auto-approve."}
	}
	answers := &answers{a: a}
	if !o.autoApprove {
		got, err := answers.ask(ctx, "\nDo you want these steps to be done? Only \"yes\" is accepted: ")
		if err != nil {
			return err
		}
		if got != "yes" {
			return &hintedError{"apply was not approved", "Nothing was done."}
		}
	}
	var asked []string
	for _, s := range missing {
		if slices.Contains(asked, s.Cluster+"/"+s.Node) {
			continue
		}
		asked = append(asked, s.Cluster+"/"+s.Node)
		got, err := answers.ask(ctx, fmt.Sprintf("\nData will be lost on %s of cluster %s: %s.\nType the node's name to consent: ", s.Node, s.Cluster, s.Summary))
		if err != nil {
			return err
		}
		if got != s.Node {
			return &hintedError{"data loss on " + s.Node + " was not approved", "Nothing was done."}
		}
	}
	return nil
}

// lossOf says whether a name of --allow-data-loss covers a step.
func lossOf(s planner.Step, name string) bool {
	return name == s.Node || name == s.Cluster+"/"+s.Node
}

// answers reads lines that a person types, and gives up at Ctrl-C.
type answers struct {
	a     *app
	lines chan string
}

func (q *answers) ask(ctx context.Context, question string) (string, error) {
	if q.lines == nil {
		q.lines = make(chan string)
		// The reader cannot be stopped while it waits for the terminal; it ends with the process.
		go func() {
			defer close(q.lines)
			in := bufio.NewScanner(q.a.stdin)
			for in.Scan() {
				q.lines <- strings.TrimSpace(in.Text())
			}
		}()
	}
	fmt.Fprint(q.a.stderr, question)
	select {
	case <-ctx.Done():
		fmt.Fprintln(q.a.stderr)
		return "", context.Cause(ctx)
	case line := <-q.lines:
		return line, nil
	}
}
