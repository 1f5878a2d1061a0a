cluster "main" {
  version = 17
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
  node "b" {
    host     = "10.0.0.2"
    role     = "standby"
    upstream = "d"
  }
  node "c" {
    host     = "10.0.0.3"
    role     = "standby"
    upstream = "b"
  }
  node "d" {
    host     = "10.0.0.4"
    role     = "standby"
    upstream = "c"
  }
  node "e" {
    host     = "10.0.0.5"
    role     = "standby"
    upstream = "b"
  }
  replication { password = env("PW") }
}
