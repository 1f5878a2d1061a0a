cluster "main" {
  version = 17
  node "a" {
    role = "primary"
    connection { type = "local" }
  }
  node "b" {
    host = "10.0.0.2"
    role = "standby"
  }
  replication { password = env("PW") }
}
