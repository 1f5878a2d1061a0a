cluster "main" {
  version = 12
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
}
cluster "minor" {
  version = 17.2
  node "a" {
    host = "10.0.0.2"
    role = "primary"
  }
}
cluster "num" {
  version = 170002
  node "a" {
    host = "10.0.0.3"
    role = "primary"
  }
}
cluster "none" {
  node "a" {
    host = "10.0.0.4"
    role = "primary"
  }
}
cluster "word" {
  version = "seventeen"
  node "a" {
    host = "10.0.0.5"
    role = "primary"
  }
}
