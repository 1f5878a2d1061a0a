cluster "main" {
  version = 17
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
  parameters = { log_line_prefix = "Größe 日本 é", port = 1 }
}
