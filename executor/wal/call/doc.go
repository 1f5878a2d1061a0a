// Package call is the near side of the background archiver: what the small program
// that PostgreSQL runs for each file of WAL does. It links the standard library's
// thinnest packages alone and starts no goroutine, since it starts once a file, and
// what package os and its like do before main is most of such a call.
//
// [Run] asks the archiver of the instance through a unix socket beside the
// configuration, once. Where that does not give an answer, for whatever reason, the
// program replaces itself by the full one under the hook's name, which takes its time:
// package patient, next to this one, asks again, starts an archiver, and does the work
// alone in the end. An archiver that hangs is waited for once only: the full program
// is told by [AloneVariable].
//
// The small program leaves signals to the kernel, so one that is ended while the
// archiver works dies of that signal. PostgreSQL takes that like the status of 128 and
// the signal's number that the full program gives (wait_error.c, wait_result_is_signal
// and wait_result_is_any_signal), whether there is a shell in between or not. The
// archiver sees that its caller went away, and drops what it did for it alone.
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
