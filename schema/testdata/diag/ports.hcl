cluster "main" {
  version = 17
  port    = 0
  node "a" {
    host = "10.0.0.1"
    role = "primary"
    port = 70000
    connection { port = -1 }
  }
  node "b" {
    host = "10.0.0.2"
    role = "standby"
    port = "five"
  }
  replication { password = env("PW") }
}
