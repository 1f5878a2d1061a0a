# A primary, a standby, and a third machine that keeps the WAL, the backups and
# the exports. Before the first plan, choose the password of the replication user:
#
#   export REPLICATION_PASSWORD=...

target "nas" {
  url         = "ssh://backup@10.0.0.100/backup" # file:// nfs:// cifs:// ssh:// s3://
  archive_dir = "pg_archlog"                     # the defaults
  backup_dir  = "pg_hotbackup"
  export_dir  = "pg_export"
}

cluster "main" {
  version    = 17
  data_dir   = "/var/lib/postgresql/17/main"
  port       = 5432
  parameters = { shared_buffers = "2GB" }

  node "node1" {
    host = "10.0.0.1"
    role = "primary"
  }
  node "node2" {
    host = "10.0.0.2"
    role = "standby"
    # upstream  = "node1"
    # delay     = "1h"
    # seed_from = ["backup", "primary"]
  }

  replication {
    user     = "replicator"
    password = env("REPLICATION_PASSWORD") # sensitive: never in a plan, a log, a process list or an error
  }

  archive { target = "nas" }

  backup "nightly" {
    target      = "nas"
    max_age     = "23h" # older than this -> the plan has a backup step
    full_every  = "7d"  # in between only what changed is stored
    prove_every = "30d" # the plan restores the newest for trial, starts and checks it
    keep { full = 4 }   # what no rule keeps the plan removes
  }

  export "dbapp" {
    target  = "nas"
    max_age = "24h"
  }
}
