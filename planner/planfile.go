package planner

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Encode gives the JSON form of a plan, for a file. It holds no secret.
func Encode(p *Plan) ([]byte, error) {
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode plan: %w", err)
	}
	return append(b, '\n'), nil
}

// Decode reads the JSON form of a plan. What the steps are to do in detail is not
// in it: a saved plan is applied by planning again and comparing fingerprints.
func Decode(b []byte) (*Plan, error) {
	var head struct {
		FormatVersion string `json:"format_version"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("not a plan file: %w", err)
	}
	if head.FormatVersion == "" {
		return nil, fmt.Errorf("not a plan file: it has no format_version")
	}
	ours, _, _ := strings.Cut(FormatVersion, ".")
	if theirs, _, _ := strings.Cut(head.FormatVersion, "."); theirs != ours {
		return nil, fmt.Errorf("the plan has format version %s, this pg_manage reads %s: make a new plan with the same pg_manage that applies it", head.FormatVersion, FormatVersion)
	}
	p := &Plan{}
	if err := json.Unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("plan file: %w", err)
	}
	return p, nil
}
