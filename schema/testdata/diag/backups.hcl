target "nas" { url = "file:///srv/a" }
cluster "main" {
  version = 17
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
  backup "a" {
    target     = "nas"
    max_age    = "24h"
    full_every = "1d"
  }
  backup "b" {
    target     = "nas"
    full_every = "often"
    workers    = 0
    rate       = "50"
  }
  backup "c" {
    target     = "nas"
    full_every = "7d"
    workers    = 33
    rate       = "1kB"
  }
  backup "d" {
    target   = "nas"
    max_rate = "50MB"
  }
}
