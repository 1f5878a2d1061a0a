cluster "main" {
  version = 19
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
}
