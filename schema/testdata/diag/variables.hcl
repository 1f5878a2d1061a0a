variable "missing" {}
variable "typed" {
  type    = number
  default = "many"
}
variable "twice" { default = 1 }
variable "twice" { default = 2 }
variable "odd" {
  type    = strng
  default = 1
}
variable "misspelt" {
  defalt = 1
}
cluster "main" {
  version = var.typed
  port    = var.missing
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
}
