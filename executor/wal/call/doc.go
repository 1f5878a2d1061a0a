// Package call is the near side of the background archiver: what the small program
// that PostgreSQL runs for each file of WAL does. It links the standard library's
// thinnest packages alone, since it starts once a file.
//
// [Run] asks the archiver of the instance through a unix socket beside the
// configuration, and starts it when there is none. When the archiver cannot be had (it
// does not start, does not answer, has another configuration, belongs to somebody
// else, would become PostgreSQL's child) the program replaces itself by the full one,
// which does the work alone. So nothing hangs on the archiver but time.
//
// The socket is <configuration file>.sock. A connection carries one request and its
// answer. The request is one frame of type 'q' with fields ended by NUL bytes:
// protocol version, working directory, configuration file, then the arguments. The
// answer is any number of frames:
//
//	'w'  still working; at least one every second
//	'o'  text for standard output
//	's'  text for standard error
//	'x'  one byte, the exit status: the end
//	'g'  the archiver cannot serve this (it ends, or is of another version)
//
// A restore names a temporary file beside the real destination, and the caller gives it
// the last name: only the process that PostgreSQL waits for may, since an archiver that
// was taken for dead can come back to life at any later moment.
//
// A frame is one byte of type, four of length (big endian) and the payload.
package call
