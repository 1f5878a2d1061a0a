# A primary and a standby whose WAL goes to two places: a machine nearby, for which PostgreSQL waits, and an S3 bucket
# elsewhere, encrypted before it leaves the nodes, whose outages hold nothing up.
#
#   age-keygen -o key.txt                    # once; its public key is the recipient below, key.txt goes to a safe place
#   export REPLICATION_PASSWORD=...
#   pg_manage plan
#
# What is in the archives: pg_manage archive status; whether it is whole: pg_manage archive check.

target "nas" {
  url = "ssh://backup@10.0.0.100/backup"
}

target "offsite" {
  url              = "s3://acme-wal/postgres"
  endpoint         = "https://s3.example.net"
  region           = "eu-central-1"
  credentials_file = "/var/lib/postgresql/.aws/credentials" # on the nodes, mode 0600
  recipients       = ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]

  # Nodes without this file write to the archive and cannot read it.
  age_identity_file = "/var/lib/postgresql/.config/age/key.txt"
}

cluster "main" {
  version = 17

  connection {
    user = "postgres"
  }

  node "node1" {
    host = "10.0.0.1"
    role = "primary"
  }

  node "node2" {
    host = "10.0.0.2"
    role = "standby"
  }

  replication {
    user     = "replicator"
    password = env("REPLICATION_PASSWORD")
  }

  archive {
    target  = "nas"
    timeout = "60s"
  }

  archive {
    target   = "offsite"
    required = false
  }
}
