package audit

import (
	"strings"
	"testing"

	"pg_manage/executor/repo/storage"
	"pg_manage/schema/postgres"
)

func TestARangeIsReadAndNoMore(t *testing.T) {
	const size = 1 << 20
	s, one, _ := switched(t, size)
	check := func(a Archive, start, stop postgres.LSN) (*RangeReport, error) {
		t.Helper()
		return CheckRange(t.Context(), a, 1, start, stop, nil)
	}
	got, err := check(s.a, size+40, 4*size)
	if err != nil || !got.Sound() || got.From != one.Name(1) || got.To != one.Name(3) {
		t.Fatalf("%+v, %v", got, err)
	}
	if got, err = check(s.a, 2*size, 2*size+1); err != nil || got.From != one.Name(2) || got.To != one.Name(2) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := check(s.a, 2*size, 2*size); err == nil {
		t.Error("an empty range is taken for one")
	}
	// Damage is found where it counts, also in one of two copies only when neither is sound.
	damaged := append([]byte(nil), one.Segments[2]...)
	damaged[len(damaged)/2] ^= 1
	s.remove(one.Name(2)[:16] + "/" + one.Name(2) + ".zst") // every second one is compressed
	s.put(one.Name(2), "", damaged)
	if got, err = check(s.a, size, 4*size); err != nil || len(got.Damaged) != 1 || !strings.Contains(got.Damaged[0].Name, one.Name(2)) {
		t.Errorf("damage: %+v, %v", got, err)
	}
	if got, err = check(s.a, 3*size, 4*size); err != nil || !got.Sound() {
		t.Errorf("damage outside of the range: %+v, %v", got, err)
	}
	s.put(one.Name(2), ".zst", one.Segments[2])
	if got, err = check(s.a, size, 4*size); err != nil || !got.Sound() {
		t.Errorf("a second copy that is sound: %+v, %v", got, err)
	}
	// A hole is a hole, and an outage none.
	if got, err = check(s.a, 5*size, 7*size); err != nil || strings.Join(got.Missing, " ") != one.Name(5)+" "+one.Name(6) {
		t.Errorf("missing: %+v, %v", got, err)
	}
	away := s.fault(func(op, _ string) error {
		if op == "list" {
			return storage.ErrLost
		}
		return nil
	})
	if got, err := check(away, size, 4*size); err == nil {
		t.Errorf("an outage: %+v", got)
	}
	s.remove(IdentityName)
	if got, err := check(s.a, 5*size, 7*size); err == nil {
		t.Errorf("no archive: %+v", got)
	}
}
