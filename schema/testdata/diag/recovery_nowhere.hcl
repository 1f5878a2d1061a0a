target "nas" { url = "file:///srv/a" }
cluster "main" {
  version = 17
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
  bootstrap {
    restore {
      target = "nas"
      lsn    = "0/0"
    }
  }
}
cluster "two" {
  version = 17
  node "a" {
    host = "10.0.0.2"
    role = "primary"
  }
  bootstrap {
    restore {
      target = "nas"
      xid    = "4294967298"
    }
  }
}
