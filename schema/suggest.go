package schema

import (
	"fmt"
	"strings"
)

// nearest is the candidate that a misspelt name most likely means, "" when none
// comes close.
func nearest(name string, candidates []string) string {
	best, bestDistance := "", 1+max(1, min(3, len(name)/3))
	if len(name) > 128 {
		return ""
	}
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance counts the typing errors between two words: a letter too much, too
// few or wrong, or two neighbours swapped (optimal string alignment).
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	before, last, row := make([]int, len(t)+1), make([]int, len(t)+1), make([]int, len(t)+1)
	for j := range last {
		last[j] = j
	}
	for i := range s {
		row[0] = i + 1
		for j := range t {
			cost := 1
			if s[i] == t[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && s[i] == t[j-1] && s[i-1] == t[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(t)]
}

// suggestion is a sentence that names the nearest candidate, "" when none comes close.
func suggestion(name string, candidates []string) string {
	if n := nearest(name, candidates); n != "" {
		return fmt.Sprintf("Did you mean %q?", n)
	}
	return ""
}

// didYouMean names the nearest candidate; without one it names them all and says
// how to declare what is missing.
func didYouMean(name string, candidates []string, otherwise string) string {
	if s := suggestion(name, candidates); s != "" {
		return s
	}
	all := ""
	switch n := len(candidates); {
	case n == 1:
		all = fmt.Sprintf("The only one is %q.", candidates[0])
	case n > 1 && n <= 12:
		all = "There are " + listed(candidates, "and") + "."
	}
	return joinSentences(all, otherwise)
}

// listed writes names as people do: "a", "b" or "c".
func listed(names []string, last string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	if len(quoted) < 2 {
		return strings.Join(quoted, "")
	}
	return strings.Join(quoted[:len(quoted)-1], ", ") + " " + last + " " + quoted[len(quoted)-1]
}

// joinSentences puts a space between the sentences that are not empty.
func joinSentences(parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, " ")
}
