// Package lab runs real hosts on one machine for tests.
//
// A node is an overlay over a Debian root file system built by debootstrap, in network, pid, uts, ipc and mount
// namespaces of its own, with a real sshd. The nodes of a lab sit on a bridge of their own with a /24 out of
// 10.77.0.0/16, so that several labs run side by side. A node can lose its cable, its power and its disk space.
//
// [Start] is for tests: the lab ends with the test, and its hosts end with the test process however that ends.
// What a killed test leaves behind (a bridge, a directory) the next start removes. [Open] and [Up] are for the command line
// in cmd/lab, whose labs outlive the command.
//
// It needs root, iproute2, the OpenSSH client and, for roots that are not in the cache yet, debootstrap. The cache is
// $PG_MANAGE_LAB_CACHE, by default ~/.cache/pg_manage-lab; it must not lie on an overlay file system itself.
package lab
