cluster "main" {
  version = 17
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
  node "b" {
    host = "10.0.0.2"
    role = "standby"
  }
}
