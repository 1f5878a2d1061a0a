cluster "main" {
  version = true ? "a" : [1]
  port    = 1 / 0
  node "a" {
    host = "${["x"]}"
    role = ["primary"][3]
    data_dir = { a = 1 }.b
  }
}
