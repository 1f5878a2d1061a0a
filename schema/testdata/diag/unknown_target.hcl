target "nas" { url = "file:///srv/a" }
target "cloud" { url = "s3://bucket/prefix" }
cluster "main" {
  version = 17
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
  archive { target = "nsa" }
  backup "nightly" { target = "tape-library" }
  export "app" {}
}
