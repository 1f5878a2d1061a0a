cluster "main" {
  version = 17
  archive = "nas"
  parameters {
    shared_buffers = "2GB"
  }
  node "a" {
    host       = "10.0.0.1"
    role       = "primary"
    connection = { type = "local" }
  }
}
