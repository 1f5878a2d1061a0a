// Package wal is what PostgreSQL's archive_command and restore_command run: it
// archives one file of WAL and restores one.
//
// Layout at the target, below the target's path:
//
//	<archive_dir>/<cluster>/archive.json                                    whose archive this is: see Archive
//	<archive_dir>/<cluster>/<first 16 digits>/<segment>.zst                 segments, .partial and .backup files
//	<archive_dir>/<cluster>/<timeline>.history                              as it is: small, and read by people
//
// Each .zst file is one zstd frame with its content checksum; zstd -d restores it
// without anything of ours.
//
// Exit status of archive: 0 if and only if the file is durable at the target under
// its final name; 1 when that could not be done, 2 when the command was called in a
// wrong way, 3 when the file or the archive is not what it must be. All are below
// 126, so that PostgreSQL tries again and keeps its archiver.
//
// Exit status of restore: 0 when the file is at its destination, whole and fsynced;
// 1 when the archive surely doesn't have it. Anything unclear (an outage, a refused
// login, a damaged file) is 200 outside standby mode, because PostgreSQL takes any
// status up to 125 for "the archive ends here" and would open the database short of
// its target, while it stops on statuses above (xlogarchive.c, RestoreArchivedFile). In
// standby mode PostgreSQL would stop there too, but asks again by itself after lower
// ones, so unclear is 2 there. After a signal it is 128 and the signal's number.
package wal

// Exit statuses; see the package's description.
const (
	ExitOK      = 0
	ExitAbsent  = 1 // restore
	ExitFailed  = 1 // the other subcommands
	ExitUsage   = 2
	ExitRetry   = 2 // restore in standby mode
	ExitRefused = 3
	ExitUnclear = 200 // restore
)
