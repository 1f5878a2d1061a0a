// Package wal archives and restores the files of WAL of one PostgreSQL instance, at one
// or several targets. Its commands are what stands behind archive_command and
// restore_command; package call is the small program that PostgreSQL runs, and package
// archiver the process in the background that does the work for it.
//
// Layout at each target, below the target's path:
//
//	<archive_dir>/<cluster>/archive.json                          whose archive this is: see Identity
//	<archive_dir>/<cluster>/<first 16 digits>/<segment><form>     segments, .partial and .backup files
//	<archive_dir>/<cluster>/<timeline>.history                    as it is: small, and read by people
//
// The form is .zst, .lz4, .gz or nothing, and then .age where the target has
// recipients; package codec has more. `age -d` and `zstd -d` restore a file without
// anything of ours. A segment that is archived alone may be a pair of zstd frames, encoded
// at once, behind a skippable one with its size. A pair that is cut between its frames is
// ordinary zstd to zstd itself; whoever reads a segment here compares its length with the
// size of the archive's segments, which is why no other files are pairs. A target may hold files of several forms, from before it was
// declared otherwise, but no file in two.
//
// Several targets: a file is acknowledged when it is durable at every required one.
// Those that are not required get it through a queue, which is a directory of the same
// layout beside hook.json (queue/<target>), already in their own form; so PostgreSQL may
// use its segment again at once. Nothing is ever dropped, and what cannot be queued is
// not acknowledged, unless somebody declared a queue_limit. What is given up then is
// written down first (dropped/<target>.jsonl) and told by status until it is stored
// after all. A target that cannot be reached is looked for in the background, so that what
// is over the limit does not wait for a dial of its own.
//
// Restore asks the targets in their order, and takes the first whole file. Where the stored
// form bears no checksum (compression "none" without recipients) it looks through a
// segment's pages and records, and at the start of the next segment, since PostgreSQL
// takes the first record that is not right for the end of WAL.
//
// Identity is checked at both ends: hook.json names the data directory that it is for,
// archive.json the system identifier that it takes. Where the target is a directory
// here the archive is looked at before a file is written, elsewhere while it is
// written; in either case before the file gets its name.
//
// Exit status of archive: 0 if and only if the file is durable at the target under
// its final name; 1 when that could not be done, 2 when the command was called in a
// wrong way, 3 when the file or the archive is not what it must be. All are below
// 126, so that PostgreSQL tries again and keeps its archiver. A signal to the small
// program ends it, and PostgreSQL's archiver too, which its postmaster starts again.
//
// Exit status of restore: 0 when the file is at its destination, whole and fsynced;
// 1 when the archive surely doesn't have it. Anything unclear (an outage, a refused
// login, a damaged file) is 200 outside standby mode, because PostgreSQL takes any
// status up to 125 for "the archive ends here" and would open the database short of
// its target, while it stops on statuses above (xlogarchive.c, RestoreArchivedFile). In
// standby mode PostgreSQL would stop there too, but asks again by itself after lower
// ones, so unclear is 2 there. After a signal it is 128 and the signal's number, or the
// program dies of that very signal: PostgreSQL takes both alike (wait_error.c,
// wait_result_is_signal and wait_result_is_any_signal). The settings turn a 2 that comes
// outside standby mode into 200, since Go's runtime ends a program with 2 that gets no
// memory. A command that is missing or not known ends with 127, as a program that is not
// there: it may be a restore that somebody misspelled.
//
// A standby that is promoted while the archive is away: PostgreSQL looks for the first
// history file that is not there to number its timeline (timeline.c, findNewestTimeLine), in
// standby mode still, and takes 2 for "not there", so that it may choose a number that the
// archive has from another promotion. A status above 125 would stop the server, at the
// promotion and whenever a standby looks for new timelines during an outage, and a
// promotion is needed most when much is away; nothing tells the one call from the other.
// So the number is let pass, and nothing is lost: archive refuses the second history file
// of a name, PostgreSQL offers that before any segment, and WAL waits in pg_wal until the
// server has an archive of its own.
package wal

// Exit statuses; see the package's description.
const (
	ExitOK      = 0
	ExitAbsent  = 1 // restore
	ExitFailed  = 1 // the other subcommands
	ExitUsage   = 2
	ExitRetry   = 2 // restore in standby mode
	ExitRefused = 3
	ExitUnknown = 127 // no command, or one that is not known
	ExitUnclear = 200 // restore
)
