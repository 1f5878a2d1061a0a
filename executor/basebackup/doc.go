// Package basebackup is the home of the engine that takes, restores and verifies base
// backups, and the description of what they look like at a target, from which a stranger
// can write a reader. Its parts: frame and index (the form of parts and of their index),
// page (checksums of data pages), take, chain, restore, verify.
//
// # Layout
//
// A backup lies at <backup_dir>/<cluster>/<label>/ of its target. A label is
// 20261122T215500Z-node1-full or -incr: when it was begun (UTC), the node, the kind.
// Nothing there is ever overwritten.
//
//	part-0000.tar.zst     files, several parts
//	index.json.zst        where each file's bytes lie in the parts
//	backup_manifest       PostgreSQL's own (manual, "Backup Manifest Format")
//	backup.json           what the backup is; written last: without it there is no backup
//	begun.json            who began it: the first file, which gives the label to one writer;
//	                      with the label of the parent, which nobody removes from then on
//	pinned.json           there: retention leaves the backup alone
//	proven-TIME.json      a restore of it was started and checked at that time (UTC)
//
// Other compressions have their own endings: .lz4, .gz, or none. With age recipients the
// parts, the index and the manifest are encrypted as a whole, in age's ordinary form, and
// end in .age; backup.json never is, and holds nothing of the database's content.
//
// # Parts
//
// A part is an ordinary tar archive (POSIX ustar, with PAX headers where needed), cut into
// frames, each compressed on its own: independent frames of zstd, LZ4 frames or members of
// gzip one after the other, which `zstd -d`, `lz4 -d` and `gzip -d` read as one stream. So
// any file, and any chunk of a big file, can be read alone. A frame holds at most 1 MiB of
// the archive.
//
// A full backup holds every file whole under its path in the data directory: all parts
// unpacked into one directory are the data directory as of the backup. Files of tablespaces
// have their path through pg_tblspc/<oid>/. The directories come first, in part 0000; the
// last part ends with backup_label, tablespace_map (when there are tablespaces) and
// global/pg_control. Links are not in the parts: pg_tblspc/<oid> must be made before files of
// tablespaces are unpacked, from tablespace_map or the index.
//
// An incremental backup holds files that its parent lacks, and small ones of which nothing stayed
// the same, whole as a full one does. Of others it holds runs of changed blocks as members named
// <path>.blocks-<first block, 10 digits>, each within one frame.
//
// # Blocks, sums and chunks
//
// Files are seen as blocks of 8192 bytes, whatever the server's block size is; the last may
// be shorter. The sum of a block is 12 bytes: its CRC-32C (little endian), and its XXH64
// (little endian). A block whose sum the parent has at the same place is not stored again.
// The CRC-32C of a whole file, which backup_manifest has, follows from those of its blocks.
//
// The index is one JSON object a line: first a header, then one for each directory,
// link and file, in no particular order, and at the end one with the count of the lines before it,
// header included. See package index for the keys. A chunk is a run of blocks within one frame:
// [first block, blocks, part, offset of the frame, length of the frame, offset in the
// frame's content]. Offsets and lengths of frames are those in the part before it is encrypted.
// Blocks that no chunk has are the parent's.
package basebackup
