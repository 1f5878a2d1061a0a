target "nas" { url = "file:///srv/a" }
cluster "main" {
  version = 17
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
  bootstrap {
    locale = "C"
    restore {
      target   = "nas"
      time     = "2026-11-22 21:55:00"
      lsn      = "3000060"
      timeline = "newest"
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
      target    = "nas"
      xid       = "seven"
      cluster   = "../main"
      immediate = false
    }
  }
}
cluster "three" {
  version = 17
  node "a" {
    host = "10.0.0.3"
    role = "primary"
  }
  bootstrap {
    restore {
      inclusive = false
      time      = "yesterday"
    }
  }
}
cluster "four" {
  version = 17
  node "a" {
    host = "10.0.0.4"
    role = "primary"
  }
  bootstrap {
    restore {
      target    = "nas"
      immediate = true
      inclusive = false
    }
  }
}
