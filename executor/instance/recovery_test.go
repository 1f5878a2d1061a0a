package instance

import (
	"errors"
	"strings"
	"testing"

	"pg_manage/executor/remote"
	"pg_manage/planner"
)

// TestATablespaceThatIsNewerThanTheBackupIsExplained, whatever the server's language, and
// whether its location is there.
func TestATablespaceThatIsNewerThanTheBackupIsExplained(t *testing.T) {
	i := New(remote.NewLocal("here"), planner.Instance{DataDir: "/srv/data", Owner: "postgres"})
	for log, want := range map[string]string{
		"FATAL:  could not create symbolic link \"pg_tblspc/16385\": Permission denied\nCONTEXT:  WAL redo at 0/4002318 for Tablespace/CREATE: 16385 \"/srv/late\"\nLOG:  shut down": "/srv/late",
		"FATAL:  Verzeichnis »/srv/a \"b\"« existiert nicht\nKONTEXT:  WAL-Redo bei 0/4002318 für Tablespace/CREATE: 16385 \"/srv/a \"b\"\"\n":                                       "/srv/a \"b\"",
	} {
		cause := errors.New(log)
		err := i.ExplainRecovery(cause)
		for _, part := range []string{"a tablespace (16385)", "at " + want + ",", "no cluster uses " + want + " on here", "an empty directory of postgres", "chmod 700 /srv/data/pg_tblspc"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%v: lacks %q", err, part)
			}
		}
		if !errors.Is(err, cause) {
			t.Errorf("%v: the cause is lost", err)
		}
	}
	other := errors.New("FATAL:  Permission denied")
	if err := i.ExplainRecovery(other); err.Error() != other.Error() {
		t.Error(err)
	}
}
