// Package sftp keeps a backup target on another machine that is reached over SFTP.
//
// A file is written under a temporary name beside its own and fsynced
// (fsync@openssh.com), then published by a hard link (hardlink@openssh.com), which
// cannot overwrite, and fsynced once more before the temporary name goes. A server
// that lacks one of these two extensions is refused.
//
// SFTP has no request to fsync a directory. But OpenSSH's server opens one as open(2) does
// when it is to be read as a file, and fsyncs what it has open (sftp-server.c, process_open
// and process_extended_fsync), so directories are fsynced like files, and those above them
// when they may be new. Where a server does not open a directory, or its file system knows
// no such fsync, and the login has a shell, sync(1) is run on it: by one shell that lives
// as long as the connection and that all writers share. Where there is neither, the second
// fsync of the file stands in for it: making a link changes the inode, and ext4, XFS and
// Btrfs write the name with the inode when they fsync it, together with directories made
// before. On other file systems that is not promised.
//
// Requests that do not depend on each other are under way at once, and several operations
// spread over up to four sessions of the connection: a session holds 2 MiB on its way,
// which bounds it to 40 MB/s at 50 ms. A request carries 255 KiB of a file where the server
// says that it takes as much (limits@openssh.com), else 32 KiB.
package sftp
