package view

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"pg_manage/planner"
	"pg_manage/schema"
)

// PlanOptions say what surrounds a plan on its page.
type PlanOptions struct {
	Apply    string // the command that applies this plan
	SavedTo  string // the file it was saved to; "" when it was not
	Commands bool   // all commands, not only the first ones, and how steps are undone
	Consent  bool   // a question follows: leave out the hint on what to run next
	Lead     string // what the steps lead to; "" is what is declared
}

// foldedCommands is how many commands of a step are shown unless all are asked for.
const foldedCommands = 3

// PlanHuman writes a plan for a person who has to decide on it.
func PlanHuman(w io.Writer, st Style, p *planner.Plan, opt PlanOptions) {
	findings(w, st, p.Findings)
	if len(p.Steps) == 0 {
		if p.HasErrors() {
			fmt.Fprintf(w, "%s Nothing can be done before the errors above are mended.\n", st.paint(bold, "No steps."))
			return
		}
		fmt.Fprintf(w, "%s Your clusters match the configuration.\n", st.paint(bold+";"+green, "No changes."))
		return
	}
	lead := "These steps lead from what was observed to what is declared:"
	if opt.Lead != "" {
		lead = opt.Lead
	}
	fmt.Fprintln(w, clean(lead))
	legend(w, st, p.Steps)
	for _, cluster := range clustersOf(p) {
		fmt.Fprintf(w, "\n%s\n", st.paint(bold, "cluster "+clean(cluster)))
		for i, s := range p.Steps {
			if s.Cluster == cluster {
				step(w, st, i+1, s, opt.Commands)
			}
		}
	}
	if n := len(p.Unchanged); n > 0 {
		fmt.Fprintf(w, "\n%s\n", st.paint(dim, fmt.Sprintf("(%s unchanged, not shown)", plural(n, "node", "nodes"))))
	}
	dataLoss(w, st, p)
	fmt.Fprintf(w, "\n%s\n", st.paint(bold, PlanSummary(p)))
	next(w, st, p, opt)
}

func next(w io.Writer, st Style, p *planner.Plan, opt PlanOptions) {
	switch {
	case opt.Consent:
	case opt.SavedTo != "":
		fmt.Fprintf(w, "\nThe plan is saved in %s. To do exactly these steps, run:\n    %s\n", opt.SavedTo, opt.Apply)
	case opt.Apply != "" && len(p.Steps) > p.Count()["blocked"]:
		fmt.Fprint(w, "\n"+st.wrap("", "To do these steps, run `"+opt.Apply+"`. It observes and plans again; with --out FILE the plan is saved, and exactly that one is applied."))
	}
}

// findings are what was seen besides the steps: drift, and what is in the way.
func findings(w io.Writer, st Style, fs []planner.Finding) {
	for _, f := range fs {
		color, word := red, "Error: "
		if f.Severity == schema.SeverityWarning {
			color, word = yellow, "Note: "
		}
		fmt.Fprintf(w, "%s%s%s\n", st.paint(bold+";"+color, word), place(f.Cluster, f.Node), clean(f.Summary))
		if f.Detail != "" {
			fmt.Fprint(w, st.wrap("  ", clean(f.Detail)))
		}
	}
	if len(fs) > 0 {
		fmt.Fprintln(w)
	}
}

// place is "cluster/node: ", with the node left out where there is none.
func place(cluster, node string) string {
	if p := planner.StepID(cluster, node); p != "" {
		return clean(p) + ": "
	}
	return ""
}

// legend explains the symbols that the page uses, and no others.
func legend(w io.Writer, st Style, steps []planner.Step) {
	for _, a := range []struct {
		action planner.Action
		text   string
	}{
		{planner.ActionCreate, "create"},
		{planner.ActionUpdate, "change in place"},
		{planner.ActionRemove, "remove"},
		{planner.ActionReplace, "remove, then create anew"},
	} {
		if slices.ContainsFunc(steps, func(s planner.Step) bool { return s.Action.Symbol() == a.action.Symbol() }) {
			fmt.Fprintf(w, "%s %s\n", symbol(st, a.action, 5), a.text)
		}
	}
}

func symbol(st Style, a planner.Action, width int) string {
	color := yellow
	switch a {
	case planner.ActionCreate:
		color = green
	case planner.ActionRemove, planner.ActionReplace:
		color = red
	}
	s := a.Symbol()
	return strings.Repeat(" ", max(0, width-len(s))) + st.paint(color, s)
}

// clustersOf gives the plan's clusters, those without steps left out.
func clustersOf(p *planner.Plan) []string {
	var out []string
	add := func(name string) {
		has := slices.ContainsFunc(p.Steps, func(s planner.Step) bool { return s.Cluster == name })
		if has && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for _, c := range p.Clusters {
		add(c)
	}
	for _, s := range p.Steps {
		add(s.Cluster)
	}
	return out
}

// stepIndent is where the lines below a step's first line begin.
const stepIndent = "          "

func step(w io.Writer, st Style, n int, s planner.Step, all bool) {
	fmt.Fprintf(w, "  %s %s %s%s%s\n", st.paint(dim, fmt.Sprintf("%2d", n)), symbol(st, s.Action, 3),
		st.paint(bold, clean(s.Node)+": "), clean(s.Summary), tag(st, s))
	if s.Blocked != "" {
		fmt.Fprint(w, st.wrap(stepIndent, st.paint(bold+";"+red, "BLOCKED")+": "+clean(s.Blocked)))
	}
	if s.Reason != "" {
		fmt.Fprint(w, st.wrap(stepIndent, clean(s.Reason)))
	}
	changes(w, st, s)
	commands(w, st, s.Commands, all)
	if s.Undo != "" && all {
		fmt.Fprint(w, st.wrap(stepIndent, "undo: "+clean(s.Undo)))
	}
}

// tag says what a step does to those who use the cluster.
func tag(st Style, s planner.Step) string {
	switch s.Effect {
	case "", planner.EffectNone:
		return ""
	case planner.EffectDataLoss:
		return "  " + st.paint(bold+";"+red, "[data loss]")
	case planner.EffectReload:
		return "  " + st.paint(cyan, "[reload]")
	default:
		return "  " + st.paint(yellow, "["+strings.ReplaceAll(string(s.Effect), "-", " ")+"]")
	}
}

func changes(w io.Writer, st Style, s planner.Step) {
	cs := s.Changes
	name, value := 0, 0
	lines := make([]string, len(cs))
	for i, c := range cs {
		lines[i] = changed(c)
		name = max(name, columns(c.Name))
		if c.Note != "" {
			value = max(value, columns(lines[i]))
		}
	}
	for i, c := range cs {
		a := planner.ActionUpdate
		switch {
		case c.Sensitive:
			a = s.Action
		case c.Before == "":
			a = planner.ActionCreate
		case c.After == "":
			a = planner.ActionRemove
		}
		text := lines[i]
		if c.Note != "" {
			text = pad(text, value) + "  " + st.paint(dim, "# "+clean(c.Note))
		}
		fmt.Fprintf(w, "%s%s %s = %s\n", stepIndent, symbol(st, a, 1), pad(clean(c.Name), name), text)
	}
}

func changed(c planner.Change) string {
	switch {
	case c.Sensitive:
		return schema.Redacted
	case c.Before == "":
		return oneLine(c.After)
	case c.After == "":
		return oneLine(c.Before)
	default:
		return oneLine(c.Before) + " -> " + oneLine(c.After)
	}
}

// oneLine is the first line of a value, and how many more there are.
func oneLine(v string) string {
	first, rest, more := strings.Cut(strings.TrimRight(clean(v), "\n"), "\n")
	if more {
		return fmt.Sprintf("%s (and %s)", first, plural(strings.Count(rest, "\n")+1, "more line", "more lines"))
	}
	return first
}

func commands(w io.Writer, st Style, cs []string, all bool) {
	shown := cs
	if !all && len(cs) > foldedCommands {
		shown = cs[:foldedCommands-1]
	}
	for _, c := range shown {
		for i, line := range strings.Split(strings.TrimRight(clean(c), "\n"), "\n") {
			prompt := "$ "
			if i > 0 {
				prompt = "  "
			}
			fmt.Fprintln(w, stepIndent+st.paint(dim, prompt+line))
		}
	}
	if n := len(cs) - len(shown); n > 0 {
		fmt.Fprintln(w, stepIndent+st.paint(dim, fmt.Sprintf("  (%s; --verbose shows them)", plural(n, "more command", "more commands"))))
	}
}

// dataLoss repeats, at the end where it is not overlooked, what destroys or sets aside data.
func dataLoss(w io.Writer, st Style, p *planner.Plan) {
	steps := p.DataLoss()
	if len(steps) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", st.paint(bold+";"+red, "These steps lose data:"))
	var flags []string
	for _, s := range steps {
		fmt.Fprintf(w, "  %s %s %s\n", symbol(st, s.Action, 3), st.paint(bold, clean(planner.StepID(s.Cluster, s.Node))+":"), clean(s.Summary))
		if s.Reason != "" {
			fmt.Fprint(w, st.wrap("      ", clean(s.Reason)))
		}
		if flag := "--allow-data-loss=" + s.Node; !slices.Contains(flags, flag) {
			flags = append(flags, flag)
		}
	}
	fmt.Fprint(w, st.wrap("  ", "They need consent by name, which --auto-approve does not give: type the node's name when apply asks, or pass "+strings.Join(flags, " ")+"."))
}

// PlanSummary is one line with what a plan does.
func PlanSummary(p *planner.Plan) string {
	n := p.Count()
	out := fmt.Sprintf("Plan: %d to create, %d to change, %d to remove", n[planner.ActionCreate], n[planner.ActionUpdate], n[planner.ActionRemove])
	if r := n[planner.ActionReplace]; r > 0 {
		out += fmt.Sprintf(", %d to replace", r)
	}
	if b := n["blocked"]; b > 0 {
		out += fmt.Sprintf(", %d blocked", b)
	}
	for _, e := range []struct {
		effect    planner.Effect
		one, many string
	}{
		{planner.EffectRestart, "restart", "restarts"},
		{planner.EffectRoleChange, "role change", "role changes"},
		{planner.EffectDataLoss, "data-loss step", "data-loss steps"},
	} {
		var nodes []string
		count := 0
		for _, s := range p.Steps {
			if s.Effect != e.effect || s.Blocked != "" {
				continue
			}
			count++
			if name := clean(s.Node); !slices.Contains(nodes, name) {
				nodes = append(nodes, name)
			}
		}
		if count > 0 {
			out += fmt.Sprintf("; %s (%s)", plural(count, e.one, e.many), strings.Join(nodes, ", "))
		}
	}
	return out + "."
}

// PlanRecord says that what follows is the record of a plan, and how old it is.
func PlanRecord(w io.Writer, st Style, p *planner.Plan, now time.Time) {
	fmt.Fprint(w, st.paint(bold+";"+yellow, "Warning:")+"\n"+st.wrap("  ", fmt.Sprintf(
		"This is only the record of a plan made at %s (%s ago) by pg_manage %s. What it rests on may have changed since: apply checks that before it does anything.",
		p.Created.UTC().Format(time.RFC3339), age(now.Sub(p.Created)), clean(p.ToolVersion)))+"\n")
}
