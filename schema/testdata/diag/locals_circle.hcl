locals {
  a = local.b
  b = "${local.c}/x"
  c = local.a
  d = local.a
}
locals {
  d = 1
}
