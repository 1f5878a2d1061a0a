package view

import "testing"

func TestTensesOfWhatIsDoneWithBackups(t *testing.T) {
	for summary, want := range map[string][2]string{
		"take a full base backup to nas":                                       {"taking a full base backup to nas", "took a full base backup to nas"},
		"prove the newest at nas: restore it for trial, start it and check it": {"proving the newest at nas: restoring it for trial, starting it and checking it", "proved the newest at nas by a restore"},
		"remove 2 base backups at nas, and WAL that no backup needs then":      {"removing 2 base backups at nas, and WAL that no backup needs then", "removed 2 base backups at nas, and WAL that no backup needs then"},
		"restore 20261122T215500Z-node1-full from nas":                         {"restoring 20261122T215500Z-node1-full from nas", "restored 20261122T215500Z-node1-full from nas"},
		"recover to the end of the WAL, and become primary":                    {"recovering to the end of the WAL, and becoming primary", "recovered to the end of the WAL, and became primary"},
		"stop PostgreSQL":                  {"stopping PostgreSQL", "stopped PostgreSQL"},
		"note that a restore begins":       {"noting that a restore begins", "noted that a restore begins"},
		"restart PostgreSQL":               {"restarting PostgreSQL", "restarted PostgreSQL"},
		"send a segment and see it arrive": {"sending a segment and seeing it arrive", "sent a segment and saw it arrive"},
	} {
		running, done := tenses(summary)
		if running != want[0] || done != want[1] {
			t.Errorf("%q: %q, %q", summary, running, done)
		}
	}
}
