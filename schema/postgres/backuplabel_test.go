package postgres

import (
	"strings"
	"testing"
	"time"
)

const labelOfPrimary = `START WAL LOCATION: 0/2000028 (file 000000010000000000000002)
CHECKPOINT LOCATION: 0/2000060
BACKUP METHOD: streamed
BACKUP FROM: primary
START TIME: 2026-11-25 19:26:26 UTC
LABEL: pg_manage: 20261125T192626Z-node1-full
START TIMELINE: 1
`

const labelOfStandby = `START WAL LOCATION: 1A/B7000110 (file 000000030000001A000000B7)
CHECKPOINT LOCATION: 1A/B7000148
BACKUP METHOD: streamed
BACKUP FROM: standby
START TIME: 2026-11-25 20:26:26 CET
LABEL: x
START TIMELINE: 3
INCREMENTAL FROM LSN: 1A/A0000028
INCREMENTAL FROM TLI: 3
`

func TestParseBackupLabel(t *testing.T) {
	b, err := ParseBackupLabel(labelOfPrimary)
	if err != nil {
		t.Fatal(err)
	}
	want := BackupLabel{
		StartLSN: 0x2000028, StartFile: "000000010000000000000002", CheckpointLSN: 0x2000060, Method: "streamed",
		StartTime: time.Date(2026, 11, 25, 19, 26, 26, 0, time.UTC), Label: "pg_manage: 20261125T192626Z-node1-full", Timeline: 1,
	}
	if *b != want {
		t.Errorf("got %+v", *b)
	}
	if b, err = ParseBackupLabel(strings.Replace(labelOfPrimary, "BACKUP FROM: primary", "BACKUP FROM: master", 1)); err != nil || b.FromStandby {
		t.Errorf("of PostgreSQL 13: %+v, %v", b, err)
	}
	b, err = ParseBackupLabel(labelOfStandby)
	if err != nil {
		t.Fatal(err)
	}
	if !b.FromStandby || b.Timeline != 3 || b.StartLSN != 0x1AB7000110 || !b.StartTime.IsZero() {
		t.Errorf("got %+v", *b)
	}
}

func TestParseBackupLabelRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                       "",
		"no file":                       strings.Replace(labelOfPrimary, " (file 000000010000000000000002)", "", 1),
		"a path as file":                strings.Replace(labelOfPrimary, "000000010000000000000002", "../../../etc/passwd", 1),
		"no start":                      strings.Replace(labelOfPrimary, "START WAL LOCATION", "X", 1),
		"no checkpoint":                 strings.Replace(labelOfPrimary, "CHECKPOINT LOCATION", "X", 1),
		"a checkpoint before the start": strings.Replace(labelOfPrimary, "0/2000060", "0/1000060", 1),
		"no timeline":                   strings.Replace(labelOfPrimary, "START TIMELINE: 1", "", 1),
		"timeline 0":                    strings.Replace(labelOfPrimary, "START TIMELINE: 1", "START TIMELINE: 0", 1),
		"from nobody knows":             strings.Replace(labelOfPrimary, "BACKUP FROM: primary", "BACKUP FROM: x", 1),
		"cut short":                     labelOfPrimary[:120],
	} {
		if b, err := ParseBackupLabel(text); err == nil || !strings.HasPrefix(err.Error(), "backup_label: ") {
			t.Errorf("%s: %+v, %v", name, b, err)
		}
	}
}

func FuzzParseBackupLabel(f *testing.F) {
	f.Add(labelOfPrimary)
	f.Add(labelOfStandby)
	f.Add("START WAL LOCATION: 0/0 (file )\n")
	f.Fuzz(func(t *testing.T, text string) {
		b, err := ParseBackupLabel(text)
		if err != nil {
			return
		}
		if b.Timeline == 0 || b.CheckpointLSN < b.StartLSN {
			t.Errorf("%q is read as %+v", text, b)
		}
		if s, err := ClassifyWALName(b.StartFile); err != nil || s.Kind != WALSegment {
			t.Errorf("%q names the file %q", text, b.StartFile)
		}
	})
}
