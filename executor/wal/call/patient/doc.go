// Package patient is the near side of the background archiver where nothing depends on
// a millisecond any more: what the full program does when it stands in for the small
// one, as it does for the first file, for an archiver that is being replaced, and
// wherever the archiver cannot be had.
//
// [Run] asks the archiver of the instance as package call does. Where there is none it
// starts one for the calls to come, and does the work at hand alone, which is done
// sooner. So it does wherever the archiver cannot be had: it does not answer, has
// another configuration, belongs to somebody else, would become PostgreSQL's child.
// Nothing hangs on the archiver but time. A restore that a signal ends gives 128 and
// the signal's number.
package patient
