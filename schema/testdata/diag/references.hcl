variable "version" { default = 17 }
locals {
  place = "/srv"
}
cluster "main" {
  version  = var.verson
  data_dir = local.plaec
  bin_dir  = var
  port     = each.value
  node "a" {
    host = local.nothing_alike_at_all
    role = "primary"
  }
}
