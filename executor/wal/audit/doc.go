// Package audit looks at a whole WAL archive: whether it has what recovery needs, what
// it lacks, and what in it is damaged (Check); and it closes holes from pg_wal
// (PushMissing).
//
// An archive lies in a directory of a target:
//
//	archive.json                            whose archive this is
//	<timeline>.history                      history files
//	<first 16 digits>/<WAL name><ext>       segments, .partial and .backup files
//
// where ext says how a file is stored. Nothing here knows how: that is Archive's Open.
//
// Whatever could not be found out is an error, and never "missing": after any failure
// the target is asked for archive.json, and only while it answers is a failure put down
// to the one file. Files that writers have left unfinished are not seen, because storage
// drivers leave them out of List; storage.Driver.Sweep removes them.
package audit
