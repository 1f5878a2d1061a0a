cluster "main" {
  version = 17
  node "a" {
    host = "10.0.0.1"
    role = "standby"
  }
  node "b" {
    host = "10.0.0.2"
    role = "standby"
  }
  replication { password = env("PW") }
}
cluster "empty" {
  version = 17
}
