cluster "one" {
  version = 17
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
  replication {
    user     = "pg_replicator"
    password = ""
  }
}
cluster "two" {
  version = 17
  node "a" {
    host = "10.0.0.2"
    role = "primary"
  }
  replication { user = "postgres" }
}
cluster "three" {
  version = 17
  node "a" {
    host = "10.0.0.3"
    role = "primary"
  }
  replication {
    user     = "postgres"
    password = "hunter2-hunter2"
  }
  replication {
    password = ["hunter2-hunter2"]
  }
}
