package instance

import (
	"fmt"
	"regexp"
)

// ExplainRecovery says what to do where the end of a server's log in err tells that recovery came
// to a tablespace that is newer than the base backup, for which the restore lets it make no link.
// Why it failed is in the server's language; what it replayed is not (rmgrdesc).
func (i *Instance) ExplainRecovery(err error) error {
	found := regexp.MustCompile(`Tablespace/CREATE: ([0-9]+) "([^\n]*)"`).FindAllStringSubmatch(err.Error(), -1)
	if len(found) == 0 {
		return err
	}
	oid, location := found[len(found)-1][1], found[len(found)-1][2]
	return fmt.Errorf("the WAL makes a tablespace (%[1]s) that the base backup does not have, at %[2]s, where its source has it or had it: "+
		"recover to a point before that, or from a backup that has it. Or, where no cluster uses %[2]s on %[3]s any more: move away what it holds, make it an empty directory of %[4]s, "+
		"allow the link with chmod 700 %[5]s/pg_tblspc, and run this again: %[6]w",
		oid, location, i.Host.Name(), i.Owner, i.DataDir, err)
}
