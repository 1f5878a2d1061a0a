cluster "main" {
  version = 17
  hba = [
    "hots all all 10.0.0.0/24 scram-sha-256",
    "host all all",
    "# comment",
    "include other.conf",
    "local all all peer",
  ]
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
}
cluster "two" {
  version = 17
  hba     = "local all all peer"
  node "a" {
    host = "10.0.0.2"
    role = "primary"
  }
}
