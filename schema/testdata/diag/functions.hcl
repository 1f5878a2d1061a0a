cluster "main" {
  version  = tonumber("x")
  data_dir = uper("/srv")
  bin_dir  = file("missing.txt")
  port     = max()
  node "a" {
    host = lookup({ a = "10.0.0.1" }, "b")
    role = lower()
  }
}
