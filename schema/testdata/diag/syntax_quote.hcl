cluster "main" {
  version  = 17
  data_dir = "/srv
  port     = 5432
}
