target "nas" { url = "file:///srv/a" }
target "nas" { url = "file:///srv/b" }
cluster "main" {
  version = 17
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
  node "a" {
    host = "10.0.0.2"
    role = "standby"
  }
  replication { password = env("PW") }
  backup "n" { target = "nas" }
  backup "n" { target = "nas" }
  export "app" { target = "nas" }
  export "app" { target = "nas" }
}
cluster "main" {
  version = 16
  node "b" {
    host = "10.0.0.3"
    role = "primary"
  }
}
