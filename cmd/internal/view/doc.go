// Package view writes all that a person or a script reads: one file for each
// kind of page, as text and as JSON.
//
// # Text
//
// Text goes to an io.Writer in a Style: colours only where a terminal wants them,
// at least 80 columns wide. What comes from a host is stripped of control
// characters. Values of sensitive attributes are never written.
//
// # JSON
//
// Every form carries format_version, "major.minor". Keys may be added within a
// major version: a reader ignores those that it does not know, and refuses a major
// version that it does not know. Lengths of time end in _ns (nanoseconds) or
// _seconds, sizes in _bytes; points in time are RFC 3339; WAL positions are
// PostgreSQL's text form.
//
// One document: `status` (Status), `check` (Check), `check backup` (BackupCheck), `validate`
// (Validation), `unlock` (Unlock), `archive status` (ArchiveStatusPage), `archive check`
// (ArchiveCheck), `archive push-missing` (ArchivePush), `backups` (BackupsPage), `backup` and
// `backup show` (BackupDocument), `backup --dry-run` (BackupIntent), `backup pin` and `unpin`
// (BackupPin), `backup expire` (ExpirePage), `verify` (VerifyPage), `version`.
//
// Lines, one object each, told apart by "type":
//
//	version        first line of all: format_version, tool_version, command
//	diagnostic     severity, summary, detail, range, snippet: a finding about the cluster
//	               files, or the error that ended the command
//	finding        severity, cluster, node, summary, detail: something seen on the nodes
//	step           number, and the fields of planner.Step, in the order of the plan
//	summary        end of a plan: created, clusters, fingerprint, empty, errors, counts by
//	               action, effects, data_loss (step IDs), unchanged (cluster/node), saved_to
//	run_started, step_started, step_progress, step_done, step_failed, step_skipped,
//	notice, run_done
//	               what happens during apply: time, step (ID), cluster, node, message,
//	               done and total (bytes), elapsed_ns, error; see package event
//	apply_summary  end of an apply: ok, interrupted, done, failed, skipped, elapsed_ns
//	status         the fields of Status; at the end of `demo`
//
// `plan`, `show`, `apply`, `restore` and `demo` write lines. An error that ends another command before
// it has its document is written as lines too: version, then diagnostic.
package view
