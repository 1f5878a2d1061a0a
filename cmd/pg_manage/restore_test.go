package main

import "testing"

// TestRestoreAgainSaysWhatWasSaid: the command that goes on asks for the same point.
func TestRestoreAgainSaysWhatWasSaid(t *testing.T) {
	for want, args := range map[string][]string{
		"pg_manage restore main --exclusive=false --to-xid 731":                         {"--to-xid", "731", "--exclusive=false"},
		"pg_manage restore main --delta --exclusive --to-lsn 0/3000060":                 {"--exclusive", "--delta=1", "--to-lsn=0/3000060"},
		"pg_manage restore main --immediate=false --latest":                             {"--latest", "--immediate=false"},
		"pg_manage restore main --allow-data-loss a --allow-data-loss b --latest":       {"--latest", "--allow-data-loss=a,b"},
		"pg_manage restore main --latest --tablespace /srv/a=/b --tablespace '/c d=/e'": {"--latest", "--tablespace=/srv/a=/b", "--tablespace", "/c d=/e"},
	} {
		a := &app{program: "pg_manage", dir: "."}
		f := a.restoreCommand().Flags()
		if err := f.Parse(args); err != nil {
			t.Fatal(err)
		}
		if got := a.restoreAgain(f, "main"); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}
