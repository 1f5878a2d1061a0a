cluster "main" {
  version = 17
  node "node1" {
    host     = "10.0.0.1"
    role     = "primary"
    upstream = "node2"
  }
  node "node2" {
    host     = "10.0.0.2"
    role     = "standby"
    upstream = "nod1"
  }
  node "node3" {
    host     = "10.0.0.3"
    role     = "standby"
    upstream = "node3"
  }
  node "node4" {
    host     = "10.0.0.4"
    role     = "standby"
    upstream = "elsewhere"
  }
  replication { password = env("PW") }
}
