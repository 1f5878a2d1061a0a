variable "size" { type = string }
variable "hosts" { type = list(string) }
variable "owner" {
  type        = string
  default     = "pg"
  description = "Who owns the instances."
}

locals {
  base   = "/srv/${local.prefix}"
  prefix = lower("PG")
  limits = { max_connections = 200, jit = false }
}

target "nas" {
  url           = "ssh://backup@10.0.0.100:2222/backup/"
  archive_dir   = "wal"
  host_keys     = ["ssh-ed25519 AAAA"]
  identity_file = "/var/lib/postgresql/.ssh/id"
  compression   = "lz4"
  recipients    = [trimspace(file("recipient.txt"))]
}

target "cloud" {
  url               = "s3://bucket/some/prefix/"
  endpoint          = "https://minio.example.net:9000/"
  region            = "eu-central-1"
  path_style        = true
  ca_file           = "/etc/ssl/minio.pem"
  credentials_file  = "/etc/pg_manage/s3"
  profile           = "wal"
  recipients        = [trimspace(file("recipient.txt"))]
  age_identity_file = "/etc/pg_manage/age.key"
}

cluster "main" {
  version    = 17
  data_dir   = "${local.base}/main"
  config_dir = "/etc/pg"
  bin_dir    = "/opt/pg/bin"
  port       = 5433
  parameters = merge(local.limits, { shared_buffers = var.size, Random_Page_Cost = 1.1 })
  hba        = [for net in ["10.0.0.0/24"] : "host all all ${net} scram-sha-256"]

  connection {
    user       = "admin"
    port       = 22
    proxy_jump = "gate"
    owner      = var.owner
  }

  node "node1" {
    host       = var.hosts[0]
    address    = "192.168.0.1"
    role       = "primary"
    parameters = { wal_compression = true }
  }
  node "node2" {
    host       = var.hosts[1]
    role       = "standby"
    delay      = "1h30m"
    seed_from  = ["backup", "primary"]
    parameters = { shared_buffers = "8GB" }
  }
  node "node3" {
    host       = var.hosts[2]
    role       = "standby"
    upstream   = "node2"
    port       = 5434
    data_dir   = "/srv/other"
    config_dir = "/etc/other"
    connection {
      user            = "root"
      identity_file   = "~/.ssh/id"
      connect_timeout = "1.5s"
    }
  }

  replication {
    user     = "repl"
    password = env("PW")
  }
  archive {
    target  = "nas"
    timeout = "5m"
    workers = 4
  }
  archive {
    target      = "cloud"
    required    = false
    queue_limit = "50GB"
    spool_limit = "0.5GB"
    log         = true
  }
  backup "nightly" {
    target      = "nas"
    max_age     = "1d"
    full_every  = "1w"
    from        = "prefer-standby"
    workers     = 3
    rate        = "50MB"
    prove_every = "1w"
    keep {
      full   = 7
      age    = "2w"
      window = "7d"
    }
  }
  backup "weekly" { target = "cloud" }
  export "my app" {
    target  = "nas"
    max_age = "1d12h"
    keep { full = 3 }
  }
  bootstrap {
    restore {
      target    = "cloud"
      cluster   = "old"
      backup    = "20261122T215500Z-node1-full"
      time      = "2026-11-22 21:55:00+00"
      inclusive = false
      timeline  = 3
      tablespaces = {
        "/srv/ssd/" = "/mnt/ssd"
      }
    }
  }
}
