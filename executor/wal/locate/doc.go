// Package locate finds in a WAL archive what a recovery target needs to be judged by: where
// a transaction ended, where a restore point lies, what the newest end of a transaction is,
// and the first one behind a time (PostgreSQL manual, "Recovery Target"; xlogrecovery.c,
// recoveryStopsBefore and recoveryStopsAfter).
//
// It reads segments from the newest to the oldest, several at a time, and stops as soon as
// the answer is known. Segments are checked as an audit does; one that is damaged or missing
// is an error, never "not found".
package locate
