target "nas" { url = "file:///nas" }
cluster "one" {
  version = 17
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
  bootstrap {
    restore {
      target = "nas"
      cluster = "old"
      tablespaces = {
        "/srv/a"  = "/mnt/a"
        "/srv/a/" = "/mnt/b"
        "/srv/c"  = "/mnt/a"
        "srv/d"   = "/mnt/d"
        "/srv/e"  = "/mnt/../e"
        "/srv/f"  = ["/mnt/f"]
        "/"       = "/mnt/g"
      }
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
      target      = "nas"
      cluster     = "old"
      tablespaces = "/srv/a=/mnt/a"
    }
  }
}
