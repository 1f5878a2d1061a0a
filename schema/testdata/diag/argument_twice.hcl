cluster "main" {
  version = 17
  version = 16
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
}
