cluster "main" {
  version = 17
  node "a" {
    host = env("PW")
    role = "primary"
    data_dir = "/srv/${env("PW")}"
    parameters = { application_name = env("PW") }
  }
  replication {
    password = env("PW", "a", "b")
    user     = env("")
  }
}
