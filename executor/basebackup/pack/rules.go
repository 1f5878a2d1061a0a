package pack

import "strings"

// What is left out is what the manual says ("Making a Base Backup Using the Low Level API") and
// what the server itself leaves out (basebackup.c).

// emptied says whether a directory is kept without what it holds: the server makes that anew.
func emptied(path string) bool {
	switch path {
	case "pg_dynshmem", "pg_notify", "pg_replslot", "pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans":
		return true
	}
	return false
}

// essential says whether there is no database without a directory.
func essential(path string) bool {
	switch path {
	case "base", "global", "pg_xact", "pg_multixact", "pg_multixact/members", "pg_multixact/offsets", "pg_tblspc", "pg_commit_ts", "pg_logical", "pg_twophase", "pg_stat":
		return true
	}
	return false
}

// excluded says whether a file or directory is left out by its name.
func excluded(dir, name string) bool {
	if strings.HasPrefix(name, "pgsql_tmp") || strings.HasPrefix(name, "pg_internal.init") {
		return true
	}
	switch dir {
	case "":
		switch name {
		case "postmaster.pid", "postmaster.opts", "postgresql.auto.conf.tmp", "current_logfiles", "current_logfiles.tmp",
			"backup_label", "backup_label.old", "tablespace_map", "tablespace_map.old", "backup_manifest":
			return true
		case "pg_manage.restoring", "pg_manage.restoring.pg_manage-tmp", "pg_manage.restored": // of a restore of this directory
			return true
		}
	case "global":
		switch name {
		case "pg_control", // comes last
			"pg_control.pg_manage-new", "pg_control.pg_manage-old":
			return true
		}
	}
	return false
}

// below says whether a path lies in a directory.
func below(path, dir string) bool { return strings.HasPrefix(path, dir+"/") }
