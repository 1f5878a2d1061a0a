package event

import (
	"encoding/json"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	want := Event{Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Type: Progress, Message: "nas", Done: 3, Total: 7}
	line, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := Parse(string(line) + "\n"); !ok || got != want {
		t.Errorf("%+v, %v", got, ok)
	}
	for _, bad := range []string{"", "{}", "{", `{"type":7}`, `["step_progress"]`, "pg_manage-hook: {no route}", `{"message":"no type"}`} {
		if e, ok := Parse(bad); ok {
			t.Errorf("%q is an event: %+v", bad, e)
		}
	}
}
