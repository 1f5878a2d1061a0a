cluster "main" {
  version = 17
  connection { type = "local" }
  node "a" {
    role = "primary"
  }
  node "b" {
    role = "standby"
  }
  node "c" {
    role = "standby"
    host = "10.0.0.1"
    port = 5433
    data_dir = "/srv/c"
    connection {
      user = "me"
      proxy_jump = "gate"
    }
  }
  node "d" {
    role = "standby"
    host = "10.0.0.2"
    connection { type = "ssh" }
  }
  replication { password = env("PW") }
}
