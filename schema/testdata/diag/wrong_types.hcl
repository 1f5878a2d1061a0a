cluster "main" {
  version  = [17]
  data_dir = { a = "/srv" }
  bin_dir  = ["/usr"]
  node "a" {
    host      = ["10.0.0.1"]
    role      = true
    delay     = 60
    seed_from = "backup"
  }
}
