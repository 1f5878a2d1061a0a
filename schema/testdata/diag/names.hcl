target "../nas" { url = "file:///srv/a" }
cluster "-main" {
  version = 17
  node "node 1" {
    host = "10.0.0.1"
    role = "primary"
  }
  export "a/b" { target = "../nas" }
}
variable "1x" { default = 1 }
