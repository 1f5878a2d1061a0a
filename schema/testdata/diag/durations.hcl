target "nas" { url = "file:///srv/a" }
cluster "main" {
  version = 17
  node "a" {
    host = "10.0.0.1"
    role = "primary"
    connection { connect_timeout = "0s" }
  }
  archive {
    target  = "nas"
    timeout = "-5m"
  }
  backup "a" {
    target      = "nas"
    max_age     = "24"
    prove_every = 7
  }
  backup "b" {
    target      = "nas"
    max_age     = "1 fortnight"
    prove_every = "h"
  }
  backup "c" {
    target  = "nas"
    max_age = ""
    from    = "secondary"
  }
  export "x" {
    target  = "nas"
    max_age = "99999999999d"
  }
}
