variable "token" {
  default   = "hunter2-hunter2"
  sensitive = true
}
locals {
  where = "/srv/${var.token}"
}
cluster "main" {
  version  = 17
  data_dir = local.where
  node "a" {
    host       = "10.0.0.1"
    role       = "primary"
    parameters = { work_mem = var.token }
    port       = jsondecode("${var.token}")
  }
}
