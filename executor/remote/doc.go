// Package remote reaches a host: over SSH or on this machine. It runs commands,
// reads and writes files atomically, and dials sockets there. It knows nothing of
// PostgreSQL.
package remote
