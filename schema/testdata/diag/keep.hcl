target "nas" { url = "file:///srv/a" }
cluster "main" {
  version = 17
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
  backup "a" {
    target = "nas"
    keep { full = 0 }
  }
  backup "b" {
    target = "nas"
    keep {}
  }
  backup "c" {
    target = "nas"
    keep { window = "7d" }
    keep { full = 2 }
  }
  backup "d" {
    target = "nas"
    keep { full = 1.5 }
  }
  export "x" {
    target = "nas"
    keep { window = "7d" }
  }
}
