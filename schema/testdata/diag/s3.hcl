target "a" {
  url              = "ssh://nas/b"
  endpoint         = "https://minio.example.net"
  region           = "eu"
  path_style       = true
  ca_file          = "/etc/ssl/ca.pem"
  credentials_file = "/etc/s3"
  profile          = "wal"
}
target "b" {
  url               = "s3://bucket"
  host_keys         = ["ssh-ed25519 AAAA"]
  identity_file     = "/root/.ssh/id"
  endpoint          = "minio.example.net:9000"
  path_style        = "maybe"
  ca_file           = "ca.pem"
  credentials_file  = "~/.aws/credentials"
  age_identity_file = "/etc/age.key"
}
target "c" {
  url      = "s3://bucket/c"
  endpoint = "https://minio.example.net/bucket"
}
target "d" {
  url      = "s3://bucket/d"
  endpoint = "https://AKIAKEY:hunter2-hunter2@minio.example.net"
}
target "e" {
  url      = "s3://bucket/e"
  endpoint = "ftp://minio.example.net"
}
target "f" {
  url      = "s3://bucket/f"
  endpoint = "http://minio.example.net:9000"
}
target "g" {
  url               = "s3://bucket/g"
  endpoint          = "http://:9000"
  recipients        = ["age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq"]
  age_identity_file = "age.key"
  access_key        = "AKIAKEY"
}
target "h" {
  url      = "s3://bucket/h"
  endpoint = "https://AKIAKEY:hunter2-hunter2@minio.example.net:port"
}
