target "a" {
  url         = "file:///srv/a"
  archive_dir = "/wal"
  backup_dir  = "../x"
  compression = "zstdd"
  host_keys   = ["ssh-ed25519 AAAA"]
}
target "b" {
  url        = "ssh://nas/b"
  export_dir = "pg_archlog"
  recipients = [
    "age1short",
    "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ",
  ]
}
