target "nas" { url = "file:///srv/a" }
cluster "main" {
  version = 17
  connection { user = "a" }
  connection { user = "b" }
  archive { target = "nas" }
  archive { target = "nas" }
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
}
