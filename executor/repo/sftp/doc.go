// Package sftp keeps a backup target on another machine that is reached over SFTP.
//
// A file is written under a temporary name beside its own and fsynced
// (fsync@openssh.com), then published by a hard link (hardlink@openssh.com), which
// cannot overwrite, and fsynced once more before the temporary name goes. A server
// that lacks one of these two extensions is refused.
//
// SFTP has no way to fsync a directory. The second fsync of the file stands in for
// it: making a link changes the inode, and ext4, XFS and Btrfs write the name with the
// inode when they fsync it, together with directories made before. On other file
// systems that is not promised; so where the login has a shell, sync(1) is run on the
// directory as well, and on those above when they may be new: by one shell that lives
// as long as the connection and that all writers share.
//
// Requests that do not depend on each other are under way at once, blocks of a file 64
// at a time, and several operations spread over up to four sessions of the connection:
// a session holds 2 MiB on its way, which bounds it to 40 MB/s at 50 ms.
package sftp
