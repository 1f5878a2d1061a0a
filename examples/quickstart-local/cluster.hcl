# Two PostgreSQL instances on this machine, a primary and its standby, and a
# folder that their WAL is archived to. Everything lies below one directory, so
# that it is gone when that directory is. Nothing else on the machine is touched.
#
# PostgreSQL does not run as root. Run pg_manage as root and the instances belong
# to the user postgres; as yourself, name yourself as their owner:
#
#   pg_manage plan -var owner=$USER

variable "path" {
  description = "Directory that everything goes below."
  default     = "/tmp/pg_manage-demo"
}

variable "version" {
  description = "Major version of the PostgreSQL that is installed here."
  type        = number
  default     = 17
}

variable "owner" {
  description = "Operating system user that owns the instances."
  default     = "postgres"
}

target "archive" {
  url = "file://${var.path}/target"
}

cluster "demo" {
  version = var.version

  connection {
    type  = "local"
    owner = var.owner
  }

  parameters = {
    listen_addresses        = "127.0.0.1"
    unix_socket_directories = var.path
    shared_buffers          = "64MB"
  }

  node "node1" {
    role     = "primary"
    port     = 54321
    data_dir = "${var.path}/node1"
  }
  node "node2" {
    role     = "standby"
    port     = 54322
    data_dir = "${var.path}/node2"
  }

  replication {
    user     = "replicator"
    password = env("REPLICATION_PASSWORD", "only-for-this-demo")
  }

  archive { target = "archive" }
}
