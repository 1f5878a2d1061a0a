// Package archiver is the process in the background that stands behind
// archive_command and restore_command of one instance: it keeps the connections to the
// targets, stores segments ahead of PostgreSQL's asking, and fetches ahead of recovery.
//
// The first call of pg_manage-hook starts it (package call says how the two talk), and
// it ends when nothing was asked for a while and nothing waits in a queue, or when it is
// not the right one any more: its configuration was changed or removed, its program
// replaced, its socket removed. Then it lets go of the socket first, so that the next call starts its
// successor, and finishes what is under way.
//
// It is never needed for correctness. A call that finds none, or whose archiver dies,
// does the work alone, and a file that was not acknowledged is offered again by
// PostgreSQL. Two at once do no harm either: nothing at a target is overwritten.
//
// Beside the configuration file hook.json lie:
//
//	hook.json.sock     the socket, 0600
//	hook.json.lock     locked by the archiver that owns the socket
//	archiver.log       what it has to say, emptied at a start when it is over 1 MB
//	spool/             what restore fetched ahead; emptied at each start
//	queue/<target>/    what targets that are not required have still to get
//
// Ahead: while PostgreSQL asks for one segment, the others that are marked .ready are
// stored by several workers, oldest first. What was stored is remembered with the
// file's inode, size and times; the answer "durable" comes from that memory only for the
// very same file and only for a minute, after which the target is asked again.
package archiver
