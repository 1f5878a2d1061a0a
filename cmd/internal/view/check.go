package view

import (
	"fmt"
	"io"

	"pg_manage/schema"
)

// Check is the JSON form of `check`.
type Check struct {
	FormatVersion string      `json:"format_version"`
	Cluster       string      `json:"cluster"`
	Node          string      `json:"node"`
	Asked         schema.Role `json:"asked"`
	Role          schema.Role `json:"role,omitempty"` // what PostgreSQL says
	Result        *bool       `json:"result"`         // null when nobody could tell
	Reason        string      `json:"reason,omitempty"`
}

// CheckHuman writes the result of `check` as one line.
func CheckHuman(w io.Writer, c Check) {
	where := clean(c.Cluster + "/" + c.Node)
	switch {
	case c.Result == nil:
		fmt.Fprintf(w, "%s: could not tell whether it is %s: %s\n", where, c.Asked, clean(c.Reason))
	case c.Role == "":
		fmt.Fprintf(w, "%s: is not %s: %s\n", where, c.Asked, clean(c.Reason))
	default:
		fmt.Fprintf(w, "%s: is %s\n", where, c.Role)
	}
}
