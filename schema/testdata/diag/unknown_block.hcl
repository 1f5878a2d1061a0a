clustr "main" {
}

cluster "main" {
  version = 17
  nod "a" {
    host = "10.0.0.1"
  }
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
  storage {}
}
