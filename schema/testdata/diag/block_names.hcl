cluster {
  version = 17
}
cluster "a" "b" {
  version = 17
}
cluster "main" {
  version = 17
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
  archive "nas" {
    target = "nas"
  }
}
