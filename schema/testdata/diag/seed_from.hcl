cluster "main" {
  version = 17
  node "a" {
    host      = "10.0.0.1"
    role      = "primary"
    seed_from = ["primary"]
    delay     = "1h"
  }
  node "b" {
    host      = "10.0.0.2"
    role      = "standby"
    seed_from = ["bakup", "primary", "primary"]
  }
  node "c" {
    host      = "10.0.0.3"
    role      = "standby"
    seed_from = ["backup"]
  }
  node "d" {
    host      = "10.0.0.4"
    role      = "standby"
    seed_from = []
  }
  replication { password = env("PW") }
}
