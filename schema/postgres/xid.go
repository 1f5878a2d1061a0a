package postgres

import (
	"fmt"
	"strconv"
)

// firstNormalXID is the lowest number that a transaction can have (transam.h,
// FirstNormalTransactionId).
const firstNormalXID = 3

// ParseXID reads the number of a transaction, with or without its epoch, as recovery_target_xid
// has it.
func ParseXID(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || uint32(n) < firstNormalXID {
		return 0, fmt.Errorf("%q is no number of a transaction: they begin with %d", s, firstNormalXID)
	}
	return n, nil
}
