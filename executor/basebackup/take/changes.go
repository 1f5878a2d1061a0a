package take

import (
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"

	"pg_manage/executor/basebackup/page"
)

// pageSize is the one size of the server's pages that summaries are used for: that of the
// blocks of an index.
const pageSize = 8192

// Numbers of the tablespace that every cluster has, and of the fork with a relation's data
// (pg_tablespace.dat, relpath.h).
const (
	defaultTablespace = 1663
	mainFork          = 0
)

// changes says which blocks of relations have changed, as WAL summaries tell. It decides
// as basebackup_incremental.c, GetFileBackupMethod, does, or reads more.
type changes struct {
	perFile int64 // blocks of a file of a relation
	forks   map[forkKey]*fork
}

type forkKey struct {
	tablespace, database, relation uint32
	fork                           uint8
}

// fork is one of a relation.
type fork struct {
	limit int64              // blocks from here on may be anything
	files map[int64][]uint64 // by the number of the file: a bit for each block that was changed
}

func newChanges(perFile int64) *changes {
	return &changes{perFile, map[forkKey]*fork{}}
}

// add takes in a row of pg_wal_summary_contents: tablespace, database, relation, fork,
// block, and whether the block is the limit.
func (c *changes) add(row [][]byte) error {
	var n [5]uint64
	for i := range n {
		v, err := strconv.ParseUint(string(row[i]), 10, 32)
		if err != nil {
			return fmt.Errorf("a WAL summary has %q for a number", row[i])
		}
		n[i] = v
	}
	key := forkKey{uint32(n[0]), uint32(n[1]), uint32(n[2]), uint8(n[3])}
	f := c.forks[key]
	if f == nil {
		f = &fork{limit: math.MaxInt64}
		c.forks[key] = f
	}
	block := int64(n[4])
	if string(row[5]) == "t" {
		f.limit = min(f.limit, block)
		return nil
	}
	if f.files == nil {
		f.files = map[int64][]uint64{}
	}
	file, bit := block/c.perFile, block%c.perFile
	bits := f.files[file]
	if need := int(bit/64) + 1; need > len(bits) {
		bits = append(bits, make([]uint64, need-len(bits))...)
		f.files[file] = bits
	}
	bits[bit/64] |= 1 << (bit % 64)
	return nil
}

// Changed is part of pack.Summary.
func (c *changes) Changed(name string) (blocks func(int64) bool, limit int64, known bool) {
	key, file, ok := relationFile(name)
	if !ok {
		return nil, 0, false
	}
	// The entry of relation 0 stands for a database that was made anew in a tablespace.
	if _, made := c.forks[forkKey{key.tablespace, key.database, 0, mainFork}]; made {
		return nil, 0, false
	}
	f := c.forks[key]
	if f == nil {
		return func(int64) bool { return false }, math.MaxInt64, true
	}
	limit = math.MaxInt64
	if f.limit != math.MaxInt64 {
		if limit = f.limit - file*c.perFile; limit <= 0 {
			return nil, 0, false
		}
	}
	bits := f.files[file]
	return func(b int64) bool { return b/64 < int64(len(bits)) && bits[b/64]&(1<<(b%64)) != 0 }, limit, true
}

// relationFile reads a path: of which relation the file is, and the how manieth. It is false
// for all that is read whole in any case: what is no relation's, what lies in global, and
// all forks but the main one. Free space maps are not in the WAL, truncations of
// visibility maps not in that of all versions, and all of them are small.
func relationFile(name string) (key forkKey, file int64, ok bool) {
	dir, base := path.Split(name)
	dir = strings.TrimSuffix(dir, "/")
	if dir == "global" || !page.DatabaseDir(dir) {
		return key, 0, false
	}
	f, ok := page.ParseName(base)
	if !ok || f.Temporary || f.Fork != "" {
		return key, 0, false
	}
	parts := strings.Split(dir, "/")
	database, err := strconv.ParseUint(parts[len(parts)-1], 10, 32)
	if err != nil {
		return key, 0, false
	}
	key.tablespace, key.database, key.relation = defaultTablespace, uint32(database), f.Number
	if parts[0] == "pg_tblspc" {
		oid, err := strconv.ParseUint(parts[1], 10, 32)
		if err != nil {
			return key, 0, false
		}
		key.tablespace = uint32(oid)
	}
	return key, int64(f.Segment), true
}
