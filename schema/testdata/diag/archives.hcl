target "nas" { url = "file:///srv/a" }
target "same" { url = "file:///srv/a/" }
target "offsite" { url = "s3://bucket/prefix" }
target "third" { url = "ssh://nas/wal" }
cluster "twice" {
  version = 17
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
  archive {
    target  = "nas"
    timeout = "60s"
    workers = 4
  }
  archive {
    target  = "nas"
    timeout = "30s"
  }
  archive { target = "same" }
  archive {
    target      = "offsite"
    workers     = 2
    queue_limit = "50GB"
    spool_limit = "1MB"
  }
  archive {
    target      = "third"
    required    = false
    queue_limit = "500MB"
    log         = "no"
  }
}
cluster "none" {
  version = 17
  node "b" {
    host = "10.0.0.2"
    role = "primary"
  }
  archive {
    target      = "nas"
    required    = false
    queue_limit = "50"
    spool_limit = "256mb"
    workers     = 64
  }
  archive {
    target      = "offsite"
    required    = false
    queue_limit = 50
  }
}
cluster "unclear" {
  version = 17
  node "c" {
    host = "10.0.0.3"
    role = "primary"
  }
  archive {
    target   = "nas"
    required = "perhaps"
  }
}
