package page

import (
	"strconv"
	"strings"
)

// File is what the name of a relation's file says.
type File struct {
	Number    uint32 // relfilenumber
	Fork      string // "", "fsm", "vm" or "init"
	Segment   int64  // of the relation, each of 1 GiB unless the server was built otherwise
	Temporary bool   // of a session, "t3_16384"
}

// ParseName reads the name of a file, without directory, as PostgreSQL names the files of
// relations (relpath.h): 16384, 16384_fsm, 16384.1, t3_16384.
func ParseName(name string) (f File, ok bool) {
	if rest, temp := strings.CutPrefix(name, "t"); temp {
		backend, rest, cut := strings.Cut(rest, "_")
		if _, ok := number(backend); !cut || !ok {
			return f, false
		}
		name, f.Temporary = rest, true
	}
	if base, segment, cut := strings.Cut(name, "."); cut {
		n, ok := number(segment)
		if !ok || n == 0 {
			return f, false
		}
		name, f.Segment = base, int64(n)
	}
	if base, fork, cut := strings.Cut(name, "_"); cut {
		if fork != "fsm" && fork != "vm" && fork != "init" {
			return f, false
		}
		name, f.Fork = base, fork
	}
	f.Number, ok = number(name)
	return f, ok && f.Number != 0
}

// number reads a decimal number without sign or leading zeroes.
func number(s string) (uint32, bool) {
	if s == "" || s[0] == '+' || s[0] == '0' && len(s) > 1 {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil
}

// DatabaseDir says whether a directory, given by its path in the data directory, holds the
// files of one database's relations: base/5, pg_tblspc/16385/PG_17_202406281/5.
func DatabaseDir(dir string) bool {
	parts := strings.Split(dir, "/")
	if _, ok := number(parts[len(parts)-1]); !ok {
		return false
	}
	switch {
	case len(parts) == 2:
		return parts[0] == "base"
	case len(parts) == 4:
		_, ok := number(parts[1])
		return ok && parts[0] == "pg_tblspc" && strings.HasPrefix(parts[2], "PG_")
	}
	return false
}

// Relation reads a path in the data directory: ok is true when the file consists of pages,
// which have checksums where the cluster has them. Files beside relations in the same
// directories (pg_control, pg_filenode.map, PG_VERSION, pg_internal.init) do not.
func Relation(path string) (f File, ok bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return f, false
	}
	if dir := path[:i]; dir != "global" && !DatabaseDir(dir) {
		return f, false
	}
	return ParseName(path[i+1:])
}
