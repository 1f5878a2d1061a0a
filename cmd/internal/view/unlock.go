package view

import (
	"fmt"
	"io"
	"time"
)

// Unlock is the JSON form of `unlock`.
type Unlock struct {
	FormatVersion string         `json:"format_version"`
	Cluster       string         `json:"cluster"`
	Nodes         []UnlockedNode `json:"nodes"`
}

// UnlockedNode is what became of the lock on one node.
type UnlockedNode struct {
	Node       string  `json:"node"`
	Broken     bool    `json:"broken"` // false: there was none, or Error
	Holder     string  `json:"holder,omitempty"`
	Operation  string  `json:"operation,omitempty"`
	AgeSeconds float64 `json:"age_seconds,omitempty"`
	Error      string  `json:"error,omitempty"`
}

// UnlockHuman writes whose locks were broken.
func UnlockHuman(w io.Writer, u Unlock) {
	for _, n := range u.Nodes {
		where := clean(u.Cluster + "/" + n.Node)
		switch {
		case n.Error != "":
			fmt.Fprintf(w, "%s: not unlocked: %s\n", where, clean(n.Error))
		case !n.Broken:
			fmt.Fprintf(w, "%s: was not locked\n", where)
		default:
			fmt.Fprintf(w, "%s: unlocked; it was held by %s (%s) for %s\n", where, clean(n.Holder), clean(n.Operation), age(time.Duration(n.AgeSeconds*float64(time.Second))))
		}
	}
}
