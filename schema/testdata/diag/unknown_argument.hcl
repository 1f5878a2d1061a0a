cluster "main" {
  version = 17
  prot    = 5432
  node "a" {
    host  = "10.0.0.1"
    role  = "primary"
    adres = "10.0.0.1"
  }
}
