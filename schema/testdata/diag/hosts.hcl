cluster "main" {
  version = 17
  node "a" {
    role = "primary"
  }
  node "b" {
    host = "root@10.0.0.2"
    role = "standby"
  }
  node "c" {
    host = "10.0.0.3:2222"
    role = "standby"
  }
  node "d" {
    host = "ssh://10.0.0.4"
    role = "standby"
  }
  node "e" {
    host    = "-oProxyCommand=x"
    address = "10.0.0.5:5433"
    role    = "standby"
  }
  node "f" {
    host = ""
    role = "standby"
    connection { user = "a b" }
  }
  replication { password = env("PW") }
}
