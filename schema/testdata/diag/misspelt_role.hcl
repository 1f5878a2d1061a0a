cluster "main" {
  version = 17
  node "a" {
    host = "10.0.0.1"
    role = "primry"
  }
  node "b" {
    host = "10.0.0.2"
    role = "slave"
  }
  replication { password = env("PW") }
}
