cluster "main" {
  version  = 17
  data_dir = "data"
  bin_dir  = "~/bin"
  node "a" {
    host       = "10.0.0.1"
    role       = "primary"
    config_dir = "/etc/../srv"
    data_dir   = "/srv/a\n"
  }
}
