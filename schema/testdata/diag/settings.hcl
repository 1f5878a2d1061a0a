target "nas" { url = "file:///srv/a" }
cluster "main" {
  version = 17
  parameters = {
    wal_level             = "minimal"
    hot_standby           = false
    max_wal_senders       = 1
    max_replication_slots = 0
    fsync                 = "off"
    full_page_writes      = "off"
    listen_addresses      = "localhost"
    max_connections       = 200
  }
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
  node "b" {
    host       = "10.0.0.2"
    role       = "standby"
    parameters = { max_connections = 100 }
  }
  replication { password = env("PW") }
}
cluster "archived" {
  version    = 17
  parameters = { wal_level = "minimal", max_wal_senders = 0 }
  node "a" {
    host = "10.0.0.3"
    role = "primary"
  }
  archive { target = "nas" }
}
