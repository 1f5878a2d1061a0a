cluster "one" {
  version = 17
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
  node "b" {
    host     = "10.0.0.1"
    role     = "standby"
    data_dir = "/srv/b"
  }
  replication { password = env("PW") }
}
cluster "two" {
  version = 17
  node "a" {
    host = "10.0.0.1"
    port = 5433
    role = "primary"
  }
}
cluster "three" {
  version  = 17
  data_dir = "/srv/b"
  node "a" {
    host = "10.0.0.1"
    port = 5434
    role = "primary"
  }
}
