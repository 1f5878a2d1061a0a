package schema

import (
	"fmt"
	"strings"

	"github.com/agext/levenshtein"
)

// nearest is the candidate that a misspelt name most likely means, "" when none
// comes close.
func nearest(name string, candidates []string) string {
	best, bestDistance := "", 1+max(1, min(3, len(name)/3))
	for _, c := range candidates {
		if d := levenshtein.Distance(strings.ToLower(name), strings.ToLower(c), nil); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// didYouMean is a sentence that names the nearest candidate, or else all of them.
func didYouMean(name string, candidates []string) string {
	if s := nearest(name, candidates); s != "" {
		return fmt.Sprintf("Did you mean %q?", s)
	}
	switch len(candidates) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("The only one is %q.", candidates[0])
	}
	if len(candidates) > 12 {
		return ""
	}
	return "There are " + listed(candidates, "and") + "."
}

// listed writes names as people do: "a", "b" or "c".
func listed(names []string, last string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	switch len(quoted) {
	case 0:
		return ""
	case 1:
		return quoted[0]
	}
	return strings.Join(quoted[:len(quoted)-1], ", ") + " " + last + " " + quoted[len(quoted)-1]
}
