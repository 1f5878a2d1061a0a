package view

import "strings"

// tenses turns a step's summary ("build standby from node1") into what it is
// while it runs ("building standby from node1") and once it is done ("built ...").
func tenses(summary string) (running, done string) {
	verb, rest, _ := strings.Cut(summary, " ")
	ing, ed := participles(strings.ToLower(verb))
	if ing == "" {
		return summary, "done: " + summary
	}
	// "send a segment and see it arrive" has a second verb, "prove ...: restore it for trial,
	// start it and check it" says how.
	running = ing + " " + second().now.Replace(rest)
	done = ed + " " + second().then.Replace(rest)
	return strings.TrimSpace(running), strings.TrimSpace(done)
}

// second are the further verbs of summaries.
func second() (v struct{ now, then *strings.Replacer }) {
	v.now = strings.NewReplacer(" and see ", " and seeing ", ", and become ", ", and becoming ", ": restore it for trial, start it and check it", ": restoring it for trial, starting it and checking it")
	v.then = strings.NewReplacer(" and see ", " and saw ", ", and become ", ", and became ", ": restore it for trial, start it and check it", " by a restore")
	return v
}

func participles(verb string) (ing, ed string) {
	switch verb {
	case "build":
		return "building", "built"
	case "rebuild":
		return "rebuilding", "rebuilt"
	case "write":
		return "writing", "wrote"
	case "set":
		return "setting", "set"
	case "put":
		return "putting", "put"
	case "send":
		return "sending", "sent"
	case "run":
		return "running", "ran"
	case "make":
		return "making", "made"
	case "take":
		return "taking", "took"
	case "prove":
		return "proving", "proved"
	case "note":
		return "noting", "noted"
	case "expire":
		return "expiring", "expired"
	case "drop":
		return "dropping", "dropped"
	case "stop":
		return "stopping", "stopped"
	case "copy":
		return "copying", "copied"
	case "initdb":
		return "running initdb", "ran initdb"
	case "start", "restart", "reload", "install", "check", "mend", "point", "repoint", "reset", "add", "follow", "switch", "restore", "recover":
		if verb == "reset" {
			return "resetting", "reset"
		}
		verb = strings.TrimSuffix(verb, "e")
		return verb + "ing", verb + "ed"
	case "create", "initialise", "initialize", "update", "change", "remove", "move", "promote", "replace", "configure":
		return strings.TrimSuffix(verb, "e") + "ing", verb + "d"
	}
	return "", ""
}
