// Package postgres holds PostgreSQL's own vocabulary: versions, log sequence
// numbers, timelines, the names of files in pg_wal, the units of settings and
// the quoting of SQL and configuration text. It knows the rules and does no I/O;
// it depends on the standard library alone.
package postgres
